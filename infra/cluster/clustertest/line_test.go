package clustertest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidegate/tidegate/infra/internal/demo"
)

// line is the name of the consumer's line of functions, and that of the tenant.
const line = "consumer"

// ownLine gives the consumer functions of its own, asserts that each tenant's events wake the functions of its line and no others,
// upgrades one of them for this tenant alone, and takes the line away again. The gateway goes on meanwhile, without a restart.
func (w *world) ownLine(t *testing.T) { //nolint:thelper // a chapter of the test, no helper
	w.kubectl(t, "delete", "pingsource", "--all") // ticks are sent by hand here: a schedule wakes whom it wants
	gateways := w.gateways(t)

	o := newOverlay(t)
	o.moveConsumer(t)
	shared, own := o.render(t)
	apply(t, w.images(own[line])) // the line first
	apply(t, w.images(shared))
	w.kubectl(t, "delete", "pingsource", "--all")
	w.kubectl(t, "wait", "ksvc,trigger", "--all", "--for=condition=Ready", "--timeout=300s")
	w.registered(t)
	before := w.servedBy(t, "transfer-puller")
	w.atZero(t)

	// The provider's own work, which has nothing to do with the consumer.
	began := time.Now()
	first := w.putBytes(t, "line/first.bin", 100_000)
	eventually(t, arrival, func() error {
		r, err := w.records(t.Context())
		if err == nil && r.datasets[first.Name].PublishedAt.IsZero() {
			err = fmt.Errorf("%s is not on offer", first.Name)
		}
		return err
	})
	w.atZero(t)
	w.wokenAre(t, began, "asset-publisher", "bucket-events")

	// The consumer's supply. Both tenants have a part in it: the provider's events wake shared functions, the consumer's its own, among
	// them the approver, to which the hints of a control plane do not say whose negotiation it is.
	began = time.Now()
	stop := w.broker.supply(t, line)
	w.allArrive(t, []demo.File{first}, arrival)
	stop()
	w.once(t, []demo.File{first})
	w.atZero(t)
	w.wokenAre(t, began, "data-server", approver, approver+"-"+line, "subscription-manager", "subscription-manager-"+line, "transfer-puller-"+line)

	// An upgrade of this tenant's function.
	function := "transfer-puller-" + line
	old := w.servedBy(t, function)
	image := w.kubectl(t, "get", "ksvc", function, "-o", "jsonpath={.spec.template.spec.containers[0].image}")
	w.revisions(t, "canary", "FUNCTION=transfer-puller", "TENANT="+line, "IMAGE="+hello(), "PERCENT=0")
	w.revisions(t, "rollback", "FUNCTION=transfer-puller", "TENANT="+line)
	w.revisions(t, "canary", "FUNCTION=transfer-puller", "TENANT="+line, "IMAGE="+image, "PERCENT=50")
	w.revisions(t, "promote", "FUNCTION=transfer-puller", "TENANT="+line)
	if now := w.servedBy(t, function); now == old || now == "" {
		t.Errorf("%s is served by %q after an upgrade, and was by %s before", function, now, old)
	}
	if now := w.servedBy(t, "transfer-puller"); now != before {
		t.Errorf("the shared transfer-puller is served by %q after a tenant's upgrade, and was by %s before", now, before)
	}
	second := w.putBytes(t, "line/second.bin", 100_000)
	stop = w.broker.supply(t, line)
	w.allArrive(t, []demo.File{second}, arrival)
	stop()
	w.once(t, []demo.File{second})

	// Back to the shared functions: the overlay first.
	apply(t, w.manifest)
	w.script(t, "remove-line.sh", nil, line)
	w.kubectl(t, "wait", "ksvc,trigger", "--all", "--for=condition=Ready", "--timeout=300s")
	w.registered(t)
	stop = w.broker.supply(t, "")
	defer stop()
	third := w.putBytes(t, "line/third.bin", 100_000)
	w.allArrive(t, []demo.File{third}, arrival)
	w.once(t, []demo.File{first, second, third})
	if diff := cmp.Diff(gateways, w.gateways(t)); diff != "" {
		t.Errorf("a tenant's line came and went, and the gateway was started anew (-before +after):\n%s", diff)
	}
}

// wokenAre asserts which functions got pods since then.
func (w *world) wokenAre(t *testing.T, since time.Time, want ...string) {
	t.Helper()
	slices.Sort(want)
	if diff := cmp.Diff(want, w.watch.woken(since)); diff != "" {
		t.Errorf("functions that were woken (-want +got):\n%s", diff)
	}
}

// gateways are the gateway's pods and how often each was started again.
func (w *world) gateways(t *testing.T) []string {
	t.Helper()
	list, err := w.api.pods(t.Context(), namespace, "app.kubernetes.io/name=dps-gateway")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, p := range list {
		if p.Metadata.DeletionTimestamp != nil {
			continue // it is on its way out
		}
		for _, c := range p.Status.ContainerStatuses {
			names = append(names, fmt.Sprintf("%s, %d restarts", p.Metadata.Name, c.RestartCount))
		}
	}
	slices.Sort(names)
	return names
}
