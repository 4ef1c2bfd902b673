package clustertest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/infra/internal/demo"
)

const approver = "negotiation-approver"

// hello is the image of the worst revision there can be: it is ready, and it answers 200 to whatever it is asked and told.
func hello() string { return cmp.Or(os.Getenv("HELLO_IMAGE"), "dev.local/hello:1") }

// badRevision gives half of the approver's traffic to a program that says 200 to everything, has files come, takes the traffic
// back, and asserts that nothing was approved that should not be and that every file arrives in the end.
func (w *world) badRevision(t *testing.T) { //nolint:thelper // a chapter of the test, no helper
	good := w.kubectl(t, "get", "ksvc", approver, "-o", "jsonpath={.status.latestReadyRevisionName}")
	image := w.kubectl(t, "get", "ksvc", approver, "-o", "jsonpath={.spec.template.spec.containers[0].image}")
	w.patchApprover(t, hello(), map[string]int{good: 50, "": 50})
	rolledBack := false
	rollBack := func() {
		if !rolledBack {
			rolledBack = true
			w.patchApprover(t, image, map[string]int{good: 100})
		}
	}
	defer rollBack()
	eventually(t, 2*time.Minute, func() error {
		latest := w.kubectl(t, "get", "ksvc", approver, "-o", "jsonpath={.status.latestReadyRevisionName} {.status.traffic[*].percent}")
		if strings.HasPrefix(latest, good+" ") || !strings.Contains(latest, "50 50") {
			return fmt.Errorf("the bad revision gets no traffic: %s", latest)
		}
		return nil
	})
	var files []demo.File
	for i := range 6 {
		files = append(files, w.putBytes(t, fmt.Sprintf("canary/%d.bin", i), 1<<20+i), w.reject(t, fmt.Sprintf("confidential/canary-%d.csv", i)))
	}
	// Long enough for each file to have been asked about once, while every second answer comes from the wrong program.
	eventually(t, arrival, func() error {
		list, err := pods(t.Context(), namespace, functionLabel+"="+approver+",serving.knative.dev/revision!="+good)
		if err != nil || len(list) == 0 {
			return fmt.Errorf("the bad revision was not asked yet (%w)", err)
		}
		_, err = w.records(t.Context())
		return err
	})
	time.Sleep(15 * time.Second) // the wrong program's chance to do harm; nothing is waited for
	rollBack()
	w.allArrive(t, accepted(files), 2*arrival)
	w.once(t, files)
	w.patchApprover(t, image, map[string]int{"": 100})
	w.kubectl(t, "wait", "ksvc", approver, "--for=condition=Ready", "--timeout=120s")
}

// patchApprover sets image and traffic: percent by revision, "" is the latest.
func (w *world) patchApprover(t *testing.T, image string, traffic map[string]int) {
	t.Helper()
	var splits []map[string]any
	for revision, percent := range traffic {
		split := map[string]any{"percent": percent, "latestRevision": revision == ""}
		if revision != "" {
			split["revisionName"] = revision
		}
		splits = append(splits, split)
	}
	patch, err := json.Marshal([]map[string]any{
		{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": image},
		{"op": "add", "path": "/spec/traffic", "value": splits},
	})
	if err != nil {
		t.Fatal(err)
	}
	w.kubectl(t, "patch", "ksvc", approver, "--type=json", "-p", string(patch))
}
