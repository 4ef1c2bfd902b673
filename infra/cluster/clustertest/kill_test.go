package clustertest

import (
	"fmt"
	"slices"
	"testing"

	"github.com/tidegate/tidegate/infra/internal/demo"
)

// victims are the pods that are killed while files are on their way, one kind after the other.
var victims = []struct{ namespace, selector string }{
	{namespace, functionLabel + "=asset-publisher"},
	{namespace, functionLabel + "=negotiation-approver"},
	{namespace, functionLabel + "=subscription-manager"},
	{namespace, functionLabel + "=transfer-puller"},
	{namespace, functionLabel + "=data-server"},
	{namespace, functionLabel + "=bucket-events"},
	{namespace, "app.kubernetes.io/name=dps-gateway"},
	{"knative-eventing", "eventing.knative.dev/brokerRole=filter"},
	{"knative-eventing", "eventing.knative.dev/brokerRole=ingress"},
	{"knative-eventing", "messaging.knative.dev/role=dispatcher"}, // the Broker's events are in its memory
	{"knative-serving", "app=activator"},
	{namespace, "app.kubernetes.io/name=redis"},
	{namespace, functionLabel}, // whatever runs
}

const filesPerVictim = 2

// killedPods kills, while files are on their way, a pod of each kind at once and without grace.
func (w *world) killedPods(t *testing.T) { //nolint:thelper // a chapter of the test, no helper
	defer w.broker.supply(t, "")()
	var files []demo.File
	for i, v := range victims {
		for j := range filesPerVictim {
			files = append(files, w.putBytes(t, fmt.Sprintf("trouble/%02d-%d.bin", i, j), 3<<20+i))
		}
		files = append(files, w.reject(t, fmt.Sprintf("confidential/%02d.csv", i)))
		w.kill(t, v.namespace, v.selector)
	}
	w.allArrive(t, accepted(files), 2*arrival)
	w.once(t, files)
}

// reject puts a file that the rules reject.
func (w *world) reject(t *testing.T, name string) demo.File {
	t.Helper()
	f := w.putBytes(t, name, 1000)
	f.Reject = true
	return f
}

// kill waits for pods of a kind, and ends them as a node that is gone does.
func (w *world) kill(t *testing.T, ns, selector string) {
	t.Helper()
	eventually(t, arrival, func() error {
		list, err := w.api.pods(t.Context(), ns, selector)
		if err == nil && !slices.ContainsFunc(list, func(p pod) bool { return p.Metadata.DeletionTimestamp == nil && p.Status.Phase == "Running" }) {
			err = fmt.Errorf("no pod %s came to be killed", selector)
		}
		return err
	})
	if _, err := tryKubectl(t.Context(), "", "delete", "pod", "-n", ns, "-l", selector, "--grace-period=0", "--force", "--wait=false"); err != nil {
		t.Fatal(err)
	}
	t.Logf("killed %s", selector)
}
