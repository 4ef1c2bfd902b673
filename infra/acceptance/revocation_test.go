package acceptance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidegate/tidegate/eventing/catalogue"
	"github.com/tidegate/tidegate/infra/internal/revocation"
	"github.com/tidegate/tidegate/shared/dps"
)

// TestASuspensionAtOneReplicaCutsTheStreamsOfAnother suspends 200 flows at one gateway, each with a stream open at another.
func TestASuspensionAtOneReplicaCutsTheStreamsOfAnother(t *testing.T) {
	const cuts, atOnce = 200, 4
	f := startFleet(t, 2)
	pc := func(i int) string { return fleetTenantID(i) }
	for i := range atOnce { // sparse, so large: a stream ends because it is cut
		file, err := os.Create(f.path("buckets/" + pc(i) + "/large"))
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(file.Truncate(1<<30), file.Close()); err != nil {
			t.Fatal(err)
		}
	}
	gateways := f.all()
	here, there := gateways[0], gateways[1]
	hc := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	var (
		mu   sync.Mutex
		ends []time.Duration
		late []int64
		work sync.WaitGroup
	)
	for i := range atOnce {
		d := f.register(t, pc(i), "large", strings.Repeat("ab", 32))
		work.Go(func() {
			cp := newControlPlane(f, &load{}, uint64(i))
			defer cp.hc.CloseIdleConnections()
			cp.base = "http://" + here.signaling
			for n := range cuts / atOnce {
				fl := &flow{pc: pc(i), id: fmt.Sprintf("%s-cut-%d", pc(i), n)}
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				g, err := cp.grant(ctx, fl, d)
				var cut revocation.Cut
				if err == nil {
					cut, err = revocation.Measure(ctx, func(ctx context.Context) (io.ReadCloser, error) {
						req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+there.public+g.path, nil)
						if err != nil {
							return nil, err
						}
						req.Header.Set("Authorization", g.authorization)
						res, err := hc.Do(req)
						if err != nil {
							return nil, err
						}
						return res.Body, nil
					}, func(ctx context.Context) error {
						_, err := cp.step(ctx, fl, "suspend", catalogue.DataFlowSuspended, dps.Suspended, map[string]any{"reason": "suspend"})
						return err
					})
				}
				cancel()
				if err != nil {
					t.Errorf("%s: %v", fl.id, err)
					return
				}
				mu.Lock()
				ends, late = append(ends, cut.End), append(late, cut.Bytes)
				mu.Unlock()
			}
		})
	}
	work.Wait()
	if len(ends) < cuts {
		t.Fatalf("only %d streams were cut", len(ends))
	}
	slices.Sort(ends)
	slices.Sort(late)
	t.Logf("from the answer to the broken stream: %v in the middle, %v at p99, %v at most; bytes that came since: %d at p99",
		ends[cuts/2], ends[cuts*99/100], ends[cuts-1], late[cuts*99/100])
	// The bar is 100 ms at p99 on a machine that has nothing else to do; a loaded one is given what tells a message from a poll.
	if ends[cuts/2] > 100*time.Millisecond || ends[cuts*99/100] > time.Second {
		t.Errorf("it took %v in the middle, and %v at p99", ends[cuts/2], ends[cuts*99/100])
	}
}
