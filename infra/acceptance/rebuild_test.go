package acceptance

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tidegate/tidegate/infra/internal/demo"
	"github.com/tidegate/tidegate/infra/internal/supervisor"
	"github.com/tidegate/tidegate/shared/management"
)

// TestRebuildFromAnEmptyRedis empties Redis in the middle of 80 deliveries while the gateway is down, and rebuilds: every file
// arrives, under the contract that it had, and what had arrived does not come again.
func TestRebuildFromAnEmptyRedis(t *testing.T) {
	h := start(t, newLayout(t))
	var files []demo.File
	for i := range 80 {
		files = append(files, h.write(t, fmt.Sprintf("file %03d.csv", i), []byte(strings.Repeat(fmt.Sprintf("line %d\n", i), 2000+i))))
	}
	eventually(t, time.Minute, func() string {
		if n := len(files) - strings.Count(h.arrived(files)(), ".csv"); n < 20 {
			return fmt.Sprintf("only %d have arrived", n)
		}
		return ""
	})
	gateway := h.process(t, "dps-gateway")
	release, err := gateway.Hold()
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	held := time.Now()
	rdb := redis.NewClient(&redis.Options{Addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(h.layout.BasePort)), DisableIdentity: true})
	defer func() { _ = rdb.Close() }()
	if err := rdb.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	before := len(files) - strings.Count(h.arrived(files)(), ".csv")
	rebuild := func(args ...string) int {
		cmd := exec.CommandContext(t.Context(), gateway.Path, append([]string{"rebuild"}, args...)...)
		cmd.Env = gateway.Env
		out, err := cmd.CombinedOutput()
		t.Logf("rebuild %v: %v\n%s", args, err, out)
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			return exit.ExitCode()
		}
		if err != nil {
			t.Fatal(err)
		}
		return 0
	}
	if code := rebuild("-terminate"); code != 0 && code != 3 {
		t.Errorf("exit code %d", code)
	}
	if code := rebuild("-terminate"); code != 0 && code != 3 {
		t.Errorf("again: exit code %d", code)
	}
	release()
	t.Logf("rebuilt in %v; %d of %d files had arrived", time.Since(held).Round(time.Millisecond), before, len(files))

	eventually(t, time.Minute, h.arrived(files))
	if code := rebuild("-terminate", "-decisions"); code != 0 {
		t.Errorf("with the gateway up: exit code %d", code)
	}
	eventually(t, time.Minute, h.settled(t))
	names := map[string]bool{}
	for _, f := range files {
		names[f.Name] = true
	}
	entries, err := os.ReadDir(h.layout.Inbox)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries { // parts of deliveries that nobody knows of any more stay below .tidegate
		if !names[e.Name()] && e.Name() != ".tidegate" {
			t.Errorf("the consumer's bucket holds %s", e.Name())
		}
	}
	perDataset := map[string]int{}
	for a, err := range h.controlPlane(t, "consumer").QueryAgreements(t.Context(), management.Query{}) {
		if err != nil {
			t.Fatal(err)
		}
		if perDataset[a.AssetID]++; perDataset[a.AssetID] == 2 {
			t.Errorf("a second contract about %s", a.AssetID)
		}
	}
	if len(perDataset) != len(files) {
		t.Errorf("contracts about %d datasets", len(perDataset))
	}
	for _, tr := range h.teller.Tracks() {
		if names[tr.Name] && tr.Deliveries > 1 {
			t.Errorf("%s was delivered %d times", tr.Name, tr.Deliveries)
		}
	}
}

// process finds a program of the deployment.
func (h *house) process(t *testing.T, name string) *supervisor.Process {
	t.Helper()
	for _, p := range h.Processes() {
		if p.Name == name {
			return p
		}
	}
	t.Fatalf("there is no program %s", name)
	return nil
}
