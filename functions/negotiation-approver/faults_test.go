package main

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/tidegate/tidegate/eventing/catalogue"
	"github.com/tidegate/tidegate/functions/internal/gatewaytest"
	"github.com/tidegate/tidegate/shared/gatewayapi"
)

// delivered delivers an event until it is taken, as the broker does.
func (b *bench) delivered(do func() error) {
	b.tb.Helper()
	var err error
	for range 4 {
		if err = do(); err == nil {
			return
		}
	}
	b.tb.Fatalf("it is never taken: %v", err)
}

// job is one of everything: a rejected, an approved and a reviewed negotiation, whose verdict comes with the agreement there.
func (b *bench) job() {
	b.tb.Helper()
	told := func(eventType, id string) {
		b.delivered(func() error { return b.tell(eventType, catalogue.Negotiation{NegotiationID: id}) })
	}
	b.asks("secret", "secret")
	told(catalogue.NegotiationRequested, "secret")
	b.asks("small", "small")
	told(catalogue.NegotiationRequested, "small")
	b.plane.Conclude("small", nil)
	told(catalogue.NegotiationFinalized, "small")
	b.asks("person", "person")
	told(catalogue.NegotiationRequested, "person")
	b.plane.Conclude("person", nil)
	told(catalogue.NegotiationFinalized, "person")
	b.clock.Advance(time.Minute)
	e := b.verdict("person", "approved", "alice")
	b.delivered(func() error { return b.handle(e) })
	b.asks("lost", "large")
	b.reconcile()
	b.reconcile() // a fault of a tick is mended by the next
}

// outcome is everything that the job leaves behind.
func (b *bench) outcome() map[string]gatewayapi.Decision {
	out := map[string]gatewayapi.Decision{"standing": b.decision(standingID(consumer, "person"))}
	for _, id := range []string{"secret", "small", "person", "lost"} {
		out[id], out["agreement of "+id] = b.decision(id), b.agreement(id)
	}
	return out
}

func TestEachOutsideCallMayFailOnce(t *testing.T) {
	calm := newBench(t, "watch")
	calm.job()
	want, calls := calm.outcome(), calm.faults.Calls()
	if calls < 40 || want["agreement of person"].By != "alice" || want["lost"].Verdict != gatewayapi.Rejected {
		t.Fatalf("the job makes %d calls and leaves %+v", calls, want)
	}
	for k := 1; k <= calls; k++ {
		for kind, name := range map[gatewaytest.Fault]string{gatewaytest.Before: "call %d fails", gatewaytest.After: "the answer to call %d is lost"} {
			t.Run(fmt.Sprintf(name, k), func(t *testing.T) {
				b := newBench(t, "watch")
				b.faults.Once(k, kind)
				b.job()
				if diff := cmp.Diff(want, b.outcome(), cmpopts.IgnoreFields(gatewayapi.Decision{}, "Input")); diff != "" {
					t.Errorf("what is left (-want +got):\n%s", diff)
				}
				ids := map[string]int{}
				for _, e := range b.sink.Once(t, catalogue.NegotiationDecided) {
					ids[e.Subject()]++
				}
				delete(ids, "lost") // of what the schedule finds it is told at most once
				if diff := cmp.Diff(map[string]int{"secret": 1, "small": 2, "person": 3}, ids); diff != "" {
					t.Errorf("different events by negotiation (-want +got):\n%s", diff)
				}
				for _, id := range []string{"secret", "lost"} {
					if _, ok := b.plane.Terminated(id); !ok {
						t.Errorf("%s is still open", id)
					}
				}
			})
		}
	}
}
