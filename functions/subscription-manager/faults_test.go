package main

import (
	"fmt"
	"testing"
	"time"

	"github.com/tidegate/tidegate/eventing/catalogue"
	"github.com/tidegate/tidegate/functions/internal/gatewaytest"
	"github.com/tidegate/tidegate/shared/gatewayapi"
)

// run is the main job as the deployment drives it: ticks and events, each delivered again until it is taken. It returns when
// the dataset is delivered.
func (b *bench) run() {
	b.tb.Helper()
	again := func(do func() error) {
		for range 3 {
			if do() == nil {
				return
			}
		}
	}
	for range 12 {
		again(func() error { return b.handle(b.scheduled()) })
		b.conclude()
		again(func() error {
			return b.tell(catalogue.NegotiationFinalized, catalogue.Negotiation{NegotiationID: "negotiation-1"})
		})
		b.deliver()
		again(func() error { return b.tell(catalogue.ObjectDelivered, catalogue.Delivered{DatasetID: "d1"}) })
		b.clock.Advance(claimTime + time.Second)
		if b.supply("d1").State == gatewayapi.SupplyDelivered {
			return
		}
	}
	b.tb.Fatalf("it was not delivered: %+v", b.supply("d1"))
}

func TestEachOutsideCallMayFailOnceOrBeTheLastOfAProcess(t *testing.T) {
	calm := newBench(t)
	calm.offer(dataset("d1", "berlin.csv", "one"))
	calm.run()
	calls := calm.faults.Calls()
	if calls < 15 {
		t.Fatalf("the job makes only %d calls", calls)
	}
	for k := 1; k <= calls; k++ {
		for _, tt := range []struct {
			name string
			plan func(f *bench)
		}{
			{"call %d fails", func(b *bench) { b.faults.Once(k, gatewaytest.Before) }},
			{"the answer to call %d is lost", func(b *bench) { b.faults.Once(k, gatewaytest.After) }},
			{"killed before call %d", func(b *bench) { b.faults.Die(k, gatewaytest.Before) }},
			{"killed after call %d", func(b *bench) { b.faults.Die(k, gatewaytest.After) }},
		} {
			t.Run(fmt.Sprintf(tt.name, k), func(t *testing.T) {
				b := newBench(t)
				b.offer(dataset("d1", "berlin.csv", "one"))
				tt.plan(b)
				_ = b.handle(b.scheduled()) // a process that is killed says nothing
				b.conclude()
				_ = b.tell(catalogue.NegotiationFinalized, catalogue.Negotiation{NegotiationID: "negotiation-1", DatasetID: "d1"})
				b.deliver()
				_ = b.tell(catalogue.ObjectDelivered, catalogue.Delivered{DatasetID: "d1"})
				_ = b.handle(b.scheduled())
				b.faults.Plan(nil)
				b.restart()
				b.run()
				if n := b.plane.Negotiations(); len(n) != 1 {
					t.Errorf("there are %d negotiations", len(n))
				}
				if n := b.plane.Transfers(); len(n) != 1 {
					t.Errorf("there are %d transfers", len(n))
				}
				if n := b.sink.Once(t, catalogue.NegotiationInitiated); len(n) != 1 {
					t.Errorf("negotiation.initiated was told of %d", len(n))
				}
				if n := b.sink.Once(t, catalogue.TransferRequested); len(n) != 1 {
					t.Errorf("transfer.requested was told of %d", len(n))
				}
				if r := b.supply("d1"); r.DeliveredVersion != digest("one") || r.Sequence != 1 {
					t.Errorf("the record is %+v", r)
				}
			})
		}
	}
}
