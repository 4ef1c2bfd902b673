package clustertest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidegate/tidegate/infra/internal/demo"
)

const (
	burstRequests  = 300 // data requests at once, for a function at zero; of them DATA_WAITING (128) of a tenant may wait
	burstFiles     = 40
	activatorGrows = 64 * mebibyte // what either burst may add to the activator's memory
)

// bursts has data requests come all at once for a data server at zero, and files all at once for functions at zero. What waits for them
// is bounded by the gateway's admission, the outbox and containerConcurrency, so the activator, in which it waits, grows by little.
func (w *world) bursts(t *testing.T) { //nolint:thelper // a chapter of the test, no helper
	flow := w.opened(t)
	w.atZero(t)
	calm := loads(w.api.containers(t))
	most := w.api.measure(t)
	w.burstOfRequests(t, flow)
	flow.pull(t)

	defer w.broker.supply(t, "")()
	files := make([]demo.File, burstFiles)
	var wg sync.WaitGroup
	for i := range files {
		wg.Go(func() { files[i] = w.putBytes(t, fmt.Sprintf("burst/%03d.bin", i), 50_000+i) })
	}
	wg.Wait()
	w.allArrive(t, files, 2*arrival)
	w.once(t, files)
	busy := most()

	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(busy)) {
		_, _ = fmt.Fprintf(&b, "%-24s %6.1f MiB at rest, %6.1f MiB at most, %d pods\n", name, mib(calm[name].memory), mib(busy[name].memory), busy[name].pods)
	}
	t.Log("\n" + b.String())
	if grown := busy["activator"].memory - calm["activator"].memory; grown > activatorGrows {
		t.Errorf("the activator took %.1f MiB more in a burst, over the bound of %d", mib(grown), activatorGrows/mebibyte)
	}
	w.nothingRestarted(t)
}

// burstOfRequests asks for the first bytes of a dataset, many times at once. Each caller gets them, or is told to come again.
func (w *world) burstOfRequests(t *testing.T, flow *openFlow) {
	t.Helper()
	through := forward(t, namespace, "dps-gateway-public", 80)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	var mu sync.Mutex
	answers, errs := map[string]int{}, []error(nil)
	var wg sync.WaitGroup
	for range burstRequests {
		wg.Go(func() {
			status, err := firstBytes(ctx, through, flow)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				errs = append(errs, err)
				return
			}
			answers[status]++
		})
	}
	wg.Wait()
	t.Logf("%d data requests at once for a data server at zero: %v", burstRequests, answers)
	if len(errs) > 0 {
		t.Errorf("%d requests were answered wrongly or not at all, for example: %v", len(errs), errs[0])
	}
	if answers["206"] == 0 {
		t.Error("no request was answered with data")
	}
}

// firstBytes returns 206 or "503 with Retry-After"; anything else is an error.
func firstBytes(ctx context.Context, through string, flow *openFlow) (string, error) {
	res, err := flow.get(ctx, through, http.Header{"Range": {"bytes=0-1023"}})
	if err != nil {
		return "", err
	}
	_ = res.Body.Close()
	switch {
	case res.StatusCode == http.StatusPartialContent:
		return "206", nil
	case res.StatusCode == http.StatusServiceUnavailable && res.Header.Get("Retry-After") != "":
		return "503 with Retry-After", nil
	}
	return "", errors.New(res.Status)
}

// nothingRestarted asserts that no container of the namespace, and none of what Knative runs there, was ended for its memory.
func (w *world) nothingRestarted(t *testing.T) {
	t.Helper()
	for _, ns := range []string{namespace, "knative-serving", "knative-eventing"} {
		list, err := w.api.pods(t.Context(), ns, "")
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range list {
			for _, c := range p.Status.ContainerStatuses {
				if last := c.LastState.Terminated; last != nil && last.Reason == "OOMKilled" {
					t.Errorf("container %s of %s/%s was ended for its memory", c.Name, ns, p.Metadata.Name)
				}
			}
		}
	}
}
