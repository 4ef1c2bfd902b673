package clustertest

import (
	"fmt"
	"testing"
	"time"

	"github.com/tidegate/tidegate/infra/internal/demo"
)

// long is a file that takes half a minute at the provider's bandwidth.
const long = 240 << 20

// longTransfer has a file take several slices: a slice is much shorter than the time that Knative gives a revision, and each is followed
// by the next through the Broker. In the middle of one the puller's pod is told to go, as by a scale-down or a drained node, which ends
// the slice early; in the middle of another it is killed, which loses a part at most.
func (w *world) longTransfer(t *testing.T) { //nolint:thelper // a chapter of the test, no helper
	defer w.limitProvider(t)()
	w.setEnv(t, "transfer-puller", "SLICE_TIME", "5s")
	defer w.broker.supply(t, "")()
	began := time.Now()
	big := w.putBytes(t, "slices/big.bin", long)
	w.sliceOver(t, big, 1)
	w.kubectl(t, "delete", "pod", "-l", functionLabel+"=transfer-puller", "--wait=false")
	w.sliceOver(t, big, 2)
	w.kill(t, namespace, functionLabel+"=transfer-puller")
	w.allArrive(t, []demo.File{big}, 2*arrival)
	for _, d := range w.once(t, []demo.File{big}).deliveries[big.Name] {
		t.Logf("delivery of %s: slices %d, attempts %d, after %v", big.Name, d.Slices, d.Attempts, d.UpdatedAt.Sub(began).Round(time.Second))
		if d.Slices < 4 {
			t.Errorf("%s took %d slices: nothing was tested", big.Name, d.Slices)
		}
	}
}

// sliceOver waits until so many slices of a file's transfer are over.
func (w *world) sliceOver(t *testing.T, f demo.File, slices int) {
	t.Helper()
	eventually(t, arrival, func() error {
		r, err := w.records(t.Context())
		if err != nil {
			return err
		}
		ds := r.deliveries[f.Name]
		switch {
		case len(ds) == 0:
			return fmt.Errorf("the transfer of %s has not begun", f.Name)
		case ds[0].Done:
			t.Fatalf("%s arrived in %d slices: nothing was tested", f.Name, ds[0].Slices)
		case ds[0].Slices < slices:
			return fmt.Errorf("%d slices of the transfer of %s are over, not %d", ds[0].Slices, f.Name, slices)
		}
		return nil
	})
}

// setEnv adds a variable to the environment of a function and waits for the new revision.
func (w *world) setEnv(t *testing.T, function, name, value string) {
	t.Helper()
	patch := fmt.Sprintf(`[{"op":"add","path":"/spec/template/spec/containers/0/env/-","value":{"name":%q,"value":%q}}]`, name, value)
	before := w.kubectl(t, "get", "ksvc", function, "-o", "jsonpath={.status.latestReadyRevisionName}")
	w.kubectl(t, "patch", "ksvc", function, "--type=json", "-p", patch)
	eventually(t, arrival, func() error {
		now, err := w.try(t.Context(), "get", "ksvc", function, "-o", "jsonpath={.status.latestReadyRevisionName}")
		if err == nil && now == before {
			err = fmt.Errorf("function %s has no new revision that is ready", function)
		}
		return err
	})
}
