package gateway_test

import (
	"bytes"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tidegate/tidegate/dps-gateway/internal/gateway"
	"github.com/tidegate/tidegate/shared/gatewayapi"
)

// TestATenantOverItsLimitsHoldsUpNoOther has one tenant flooded, with its streams and its data server stuck, and asks for the data
// of another meanwhile, which is served as if it were alone; and the flooded tenant's pushes have places of their own.
func TestATenantOverItsLimitsHoldsUpNoOther(t *testing.T) {
	w := newWorld(t)
	w.tenant("provider", "sinks:\n  - name: in\n    bucket: files\n    prefix: got/\nlimits:\n  concurrentStreams: 20\n  bytesPerSecond: 4194304\n")
	r := w.start(func(c *gateway.Config) { c.DataWait = 20 * time.Second })
	big := r.startFlow("provider", r.publish("provider", "big", make([]byte, 64<<20)))
	stuck := r.startFlow("provider", r.publish("provider", "stuck", []byte("stuck")))
	calm := r.startFlow("other", r.publish("other", "calm", bytes.Repeat([]byte("x"), 100<<10)))
	release := make(chan struct{})
	w.server.answers(func(rw http.ResponseWriter, req *http.Request, q *gatewayapi.DataRequest) {
		if q.Dataset.Key == "stuck" {
			select {
			case <-release:
			case <-req.Context().Done():
			}
		}
		refers(rw, q)
	})
	for range 4 { // each takes what the tenant's bytes per second give
		slowly(t, r, big)
	}
	var (
		flood    sync.WaitGroup
		over     atomic.Bool
		tooMany  atomic.Int64
		nonsense atomic.Int64
	)
	for range 24 {
		flood.Go(func() {
			for !over.Load() {
				switch a := r.get(stuck); {
				case a.code == 429 && a.header.Get("Retry-After") != "":
					tooMany.Add(1)
					time.Sleep(20 * time.Millisecond) // a flood of 2,000 a second
				case a.code == 200, a.code == 504, a.code == 503:
				default:
					nonsense.Add(1)
				}
			}
		})
	}
	within(t, "the tenant is over its limits", func() bool { return tooMany.Load() > 100 })
	var took []time.Duration
	for range 60 {
		began := time.Now()
		if a := r.get(calm); a.code != 200 || len(a.body) != 100<<10 {
			t.Fatalf("another tenant: %d, %d bytes", a.code, len(a.body))
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	t.Logf("another tenant's requests took %v in the middle, %v at p95", took[30], took[57])
	if took[57] > 5*time.Second { // held up it would be the whole wait for a data server; the rest is the machine's
		t.Errorf("another tenant's requests took %v at p95", took[57])
	}
	data, sum := random(t, 1000)
	push := r.preparePush("provider", "pushed", sum)
	if a := r.push(http.MethodPut, push, bytes.NewReader(data)); a.code != 201 {
		t.Errorf("a push to the flooded tenant: %d %s", a.code, a.body)
	}
	over.Store(true)
	close(release)
	flood.Wait()
	if n := nonsense.Load(); n > 0 {
		t.Errorf("%d other answers", n)
	}
}
