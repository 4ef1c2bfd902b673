package clustertest

import (
	"fmt"
	"testing"

	"github.com/tidegate/tidegate/infra/internal/demo"
)

// longTransfer has a file take several slices, the puller's pods being killed in the middle of one: a slice is much shorter than
// the time that Knative gives a revision, and each is followed by the next through the Broker.
func (w *world) longTransfer(t *testing.T) { //nolint:thelper // a chapter of the test, no helper
	defer w.limitProvider(t)()
	w.setEnv(t, "transfer-puller", "SLICE_TIME", "5s")
	big := w.putBytes(t, "slices/big.bin", streamed)
	eventually(t, arrival, func() error {
		r, err := w.records(t.Context())
		if err == nil && (len(r.deliveries[big.Name]) == 0 || r.deliveries[big.Name][0].Slices < 1) {
			err = fmt.Errorf("the first slice of %s is not over", big.Name)
		}
		return err
	})
	w.kill(t, namespace, functionLabel+"=transfer-puller")
	w.allArrive(t, []demo.File{big}, 2*arrival)
	for _, d := range w.once(t, []demo.File{big}).deliveries[big.Name] {
		t.Logf("delivery of %s: slices %d, attempts %d", big.Name, d.Slices, d.Attempts)
		if d.Slices < 3 {
			t.Errorf("%s took %d slices: nothing was tested", big.Name, d.Slices)
		}
	}
}

// setEnv adds a variable to the environment of a function and waits for the new revision.
func (w *world) setEnv(t *testing.T, function, name, value string) {
	t.Helper()
	patch := fmt.Sprintf(`[{"op":"add","path":"/spec/template/spec/containers/0/env/-","value":{"name":%q,"value":%q}}]`, name, value)
	before := w.kubectl(t, "get", "ksvc", function, "-o", "jsonpath={.status.latestReadyRevisionName}")
	w.kubectl(t, "patch", "ksvc", function, "--type=json", "-p", patch)
	eventually(t, arrival, func() error {
		now := w.kubectl(t, "get", "ksvc", function, "-o", "jsonpath={.status.latestReadyRevisionName}")
		if now == before {
			return fmt.Errorf("function %s has no new revision", function)
		}
		return nil
	})
}
