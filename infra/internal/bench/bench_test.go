package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

// TestMain lets the test binary be what parts a and b compare with.
func TestMain(m *testing.M) {
	if ServeBeside() {
		return
	}
	goleak.VerifyTestMain(m, goleak.IgnoreCurrent()) // the supervisor's thread that starts children lives as long as the process
}

// programs is where make build puts the programs.
func programs(t *testing.T) string {
	t.Helper()
	const dir = "../../../bin"
	if _, err := os.Stat(filepath.Join(dir, "dps-gateway")); err != nil {
		t.Fatalf("the programs are not built: run 'make build' first (%v)", err)
	}
	return dir
}

func need(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := exec.LookPath(name); err != nil {
			if _, err := os.Stat("/usr/sbin/" + name); err != nil {
				t.Skipf("%s is not installed: 'make test-tools bench-tools'", name)
			}
		}
	}
}

func TestEveryPartMeasures(t *testing.T) {
	need(t, "redis-server")
	bin, parent := programs(t), t.TempDir()
	for letter, want := range map[string][]string{
		"a": {"1 connection: gateway", "1 connection: Redis alone", "1 connection: bare server", "8 connections: CPU of the gateway"},
		"b": {"1 KiB, 8 connections: gateway", "1 KiB, 8 connections: ReverseProxy", "4 MiB, 4 connections: nginx proxy_pass"},
		"c": {"transfer-puller", "data-server, size"},
		"d": {"idle, VmRSS", "streaming 4 MiB, VmHWM"},
		"e": {"100 stored: gateway", "2 000 stored: a page of 100 flows", "Redis' memory for a stored flow", "two replicas: gateway"},
		"f": {"50 idle open streams, VmRSS", "before the streams, VmRSS"},
	} {
		t.Run(letter, func(t *testing.T) {
			if letter == "b" {
				need(t, "nginx", "wrk")
			}
			var out bytes.Buffer
			r, err := Run(t.Context(), Options{
				BinDir: bin, TempDir: parent, Only: []string{letter}, Runs: 1, Short: true, Out: &out, Notes: t.Output(),
			})
			if err != nil {
				t.Fatal(err)
			}
			medians := map[string]float64{}
			for _, f := range r.Parts[0].Figures {
				medians[f.Name] = f.Median
			}
			for _, name := range want {
				if medians[name] <= 0 && !strings.Contains(name, "CPU") { // CPU time comes in ticks of 10 ms
					t.Errorf("%q is %v", name, medians[name])
				}
				if !strings.Contains(out.String(), name) {
					t.Errorf("%q is in no table:\n%s", name, out.String())
				}
			}
			if _, err := json.Marshal(r); err != nil {
				t.Errorf("the report is no JSON: %v", err)
			}
		})
	}
	left, err := filepath.Glob(parent + "/*")
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v (%v)", left, err)
	}
}

func TestAnInterruptEndsTheRunAndLeavesNothing(t *testing.T) {
	need(t, "redis-server")
	parent := t.TempDir()
	ctx, cancel := context.WithCancelCause(t.Context())
	interrupt := errors.New("interrupted")
	notes := writer(func([]byte) { cancel(interrupt) }) // as soon as it has begun to measure
	var out bytes.Buffer
	_, err := Run(ctx, Options{BinDir: programs(t), TempDir: parent, Only: []string{"d"}, Runs: 100, Short: true, Out: &out, Notes: notes})
	if err == nil {
		t.Error("it has not noticed")
	}
	left, err := filepath.Glob(parent + "/*")
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v (%v)", left, err)
	}
}

type writer func([]byte)

func (w writer) Write(p []byte) (int, error) { w(p); return len(p), nil }

func TestOptionsThatMakeNoSense(t *testing.T) {
	for name, o := range map[string]Options{
		"no runs":                {Runs: 0},
		"an unknown part":        {Runs: 1, Only: []string{"a", "x"}},
		"programs not built yet": {Runs: 1, Only: []string{"c"}, BinDir: t.TempDir()},
	} {
		t.Run(name, func(t *testing.T) {
			o.Out, o.Notes, o.TempDir = t.Output(), t.Output(), t.TempDir()
			if _, err := Run(t.Context(), o); err == nil {
				t.Error("accepted")
			}
		})
	}
}
