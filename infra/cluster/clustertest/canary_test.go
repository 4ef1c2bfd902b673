package clustertest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/infra/internal/demo"
)

const approver = "negotiation-approver"

// hello is the image of the worst revision there can be: it is ready, and it answers 200 to whatever it is asked and told.
func hello() string { return cmp.Or(os.Getenv("HELLO_IMAGE"), "dev.local/hello:1") }

// badRevision gives half of the approver's events to a program that says 200 to everything, has files come, rolls back, and asserts
// that nothing was approved that should not be and that every file arrives in the end. It then gives the good program out again, as
// an upgrade does. All of it goes by the scripts behind 'make canary', 'rollback' and 'promote'.
func (w *world) badRevision(t *testing.T) { //nolint:thelper // a chapter of the test, no helper
	good := w.servedBy(t, approver)
	image := w.kubectl(t, "get", "ksvc", approver, "-o", "jsonpath={.spec.template.spec.containers[0].image}")
	w.revisions(t, "canary", "FUNCTION="+approver, "IMAGE="+hello(), "PERCENT=50")
	rolledBack := false
	rollBack := func() {
		if !rolledBack {
			rolledBack = true
			w.revisions(t, "rollback", "FUNCTION="+approver)
		}
	}
	defer rollBack()
	defer w.broker.supply(t, "")()
	var files []demo.File
	for i := range 6 {
		files = append(files, w.putBytes(t, fmt.Sprintf("canary/%d.bin", i), 1<<20+i), w.reject(t, fmt.Sprintf("confidential/canary-%d.csv", i)))
	}
	// Long enough for each file to have been asked about once, while every second answer comes from the wrong program.
	eventually(t, arrival, func() error {
		list, err := w.api.pods(t.Context(), namespace, functionLabel+"="+approver+",serving.knative.dev/revision!="+good)
		if err == nil && len(list) == 0 {
			err = errors.New("the bad revision was not asked yet")
		}
		return err
	})
	time.Sleep(15 * time.Second) // the wrong program's chance to do harm; nothing is waited for
	rollBack()
	if now := w.servedBy(t, approver); now != good {
		t.Errorf("after the roll-back revision %s serves, not %s", now, good)
	}
	w.allArrive(t, accepted(files), 2*arrival)
	w.once(t, files)

	w.revisions(t, "canary", "FUNCTION="+approver, "IMAGE="+image, "PERCENT=10")
	if split := w.revisions(t, "show", "FUNCTION="+approver); !strings.Contains(split, good+"\t90%") {
		t.Errorf("a canary after a roll-back does not leave the good revision its share:\n%s", split)
	}
	w.revisions(t, "promote", "FUNCTION="+approver)
	if now := w.servedBy(t, approver); now == good || now == "" {
		t.Errorf("after the promotion revision %q serves, which is not the new one", now)
	}
}

// servedBy is the revision that has all of a function's events, if one has.
func (w *world) servedBy(t *testing.T, function string) string {
	t.Helper()
	return w.kubectl(t, "get", "ksvc", function, "-o", "jsonpath={.status.traffic[?(@.percent==100)].revisionName}")
}

// revisions runs the script behind the targets canary, promote, rollback and revisions.
func (w *world) revisions(t *testing.T, command string, env ...string) string {
	t.Helper()
	return w.script(t, "revisions.sh", env, command)
}

// script runs one of the scripts that operators run.
func (w *world) script(t *testing.T, name string, env []string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), longest)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join("infra", "scripts", name), args...)
	cmd.Env = append(os.Environ(), append([]string{"NAMESPACE=" + namespace}, env...)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(append(env, args...), " "), err, out)
	}
	return string(out)
}
