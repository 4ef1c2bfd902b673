package clustertest

import (
	"fmt"
	"slices"
	"strings"
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

const (
	filesPerVictim = 2
	filesOnNode    = 6
)

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

// nodeDies ends, while files are on their way, every pod of the node on which the gateway runs, of Tidegate, of Knative, and of both
// participants: what remains is what is on volumes and in the API server.
func (w *world) nodeDies(t *testing.T) { //nolint:thelper // a chapter of the test, no helper
	defer w.broker.supply(t, "")()
	var files []demo.File
	for i := range filesOnNode {
		files = append(files, w.putBytes(t, fmt.Sprintf("node/%d.bin", i), 3<<20+i))
	}
	files = append(files, w.reject(t, "confidential/node.csv"))
	node := w.nodeAtWork(t)
	var killed []string
	for _, ns := range []string{namespace, "knative-eventing", "knative-serving"} {
		out, err := tryKubectl(t.Context(), "", "delete", "pod", "-n", ns, "--field-selector=spec.nodeName="+node,
			"--grace-period=0", "--force", "--wait=false", "-o", "name")
		if err != nil {
			t.Fatal(err)
		}
		killed = append(killed, strings.Fields(out)...)
	}
	t.Logf("killed %d pods of node %s", len(killed), node)
	w.waitReady(t)
	w.registered(t)
	w.allArrive(t, accepted(files), 2*arrival)
	w.once(t, files)
}

// nodeAtWork waits until functions are at work, and returns the gateway's node.
func (w *world) nodeAtWork(t *testing.T) string {
	t.Helper()
	node := ""
	eventually(t, arrival, func() error {
		names, err := w.api.running(t.Context())
		if err != nil {
			return err
		}
		list, err := w.api.pods(t.Context(), namespace, "app.kubernetes.io/name=dps-gateway")
		if err != nil {
			return err
		}
		if len(names) == 0 || len(list) == 0 {
			return fmt.Errorf("%d pods of functions and %d of the gateway are at work", len(names), len(list))
		}
		node = list[0].Spec.NodeName
		return nil
	})
	return node
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
