package crashes_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/dps-gateway/internal/dataflow"
	"github.com/tidegate/tidegate/dps-gateway/internal/flowstore"
	"github.com/tidegate/tidegate/dps-gateway/internal/flowstore/flowstoretest"
	"github.com/tidegate/tidegate/dps-gateway/internal/keys"
	"github.com/tidegate/tidegate/dps-gateway/internal/outbox"
	"github.com/tidegate/tidegate/dps-gateway/internal/redistest"
	"github.com/tidegate/tidegate/shared/dps"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/tenant"
)

const (
	profileOfFunction = "https://us.test/profiles/stream-pull"
	heldFor           = 30 * time.Millisecond
)

// dying is a store whose process dies at a call, of whichever sort: before Redis has it, or before the answer has come.
type dying struct {
	flowstore.Store
	calls *int // until it dies
	after bool
}

func (d dying) call(do func() error) error {
	*d.calls--
	if *d.calls == 0 && !d.after {
		return errDied
	}
	if *d.calls < 0 {
		return errDied // it is dead
	}
	err := do()
	if *d.calls == 0 {
		return errDied
	}
	return err
}

func (d dying) Apply(ctx context.Context, t *flowstore.Transition) (r flowstore.Result, err error) {
	err = d.call(func() error { r, err = d.Store.Apply(ctx, t); return err })
	return r, err
}

func (d dying) Get(ctx context.Context, pc, id string) (f *flowstore.Flow, err error) {
	err = d.call(func() error { f, err = d.Store.Get(ctx, pc, id); return err })
	return f, err
}

func (d dying) FirstAnswer(ctx context.Context, pc, id string) (b []byte, err error) {
	err = d.call(func() error { b, err = d.Store.FirstAnswer(ctx, pc, id); return err })
	return b, err
}

// promising is a function that does later what it is asked.
type promising struct{}

func (promising) Ask(context.Context, string, *gatewayapi.HookRequest) (*gatewayapi.HookAnswer, bool, error) {
	return nil, true, nil
}

// TestNoFlowWaitsForever kills the gateway at every step of a start for which a function promises more. The control plane waits for the
// answer, or takes the promise; it sends the start again or not; the function reports or not, in time or too late. Whatever happens, the flow
// comes to an end of its wait in a bounded time; what the function reported in time counts, and what it reported later does not; and a
// control plane that got no answer, or a promise, hears once what came of it.
func TestNoFlowWaitsForever(t *testing.T) {
	redistest.Each(t, func(t *testing.T, rdb redis.UniversalClient) {
		t.Helper()
		n := 0
		rapid.Check(t, func(r *rapid.T) {
			n++
			waits(t, r, rdb, fmt.Sprintf("waits-%d", n))
		})
	})
}

func waits(t *testing.T, r *rapid.T, rdb redis.UniversalClient, pc string) {
	t.Helper()
	flowstoretest.Decide(t, rdb, pc, "agr", gatewayapi.Approved, "ds", "did:web:them", false)
	store := flowstore.New(rdb, outbox.NewBell(), time.Hour)
	process := func(s flowstore.Store) *dataflow.Service {
		return dataflow.New(s, &issuer{}, noDecider{}, dataflow.Options{HookWait: heldFor, ReportWithin: time.Hour, Hooks: promising{}})
	}
	promised := rapid.Bool().Draw(r, "the control plane takes promises")
	call := dataflow.Call{
		ParticipantContextID: pc, DataFlowID: "flow", Asynchronous: promised, Profiles: []tenant.Profile{{Profile: profileOfFunction, Hook: "streams"}},
	}
	start := func(s *dataflow.Service) (dataflow.Answer, error) {
		return s.Start(t.Context(), call, &dps.FlowMessage{
			MessageID: "m1", ParticipantID: "did:web:us", CounterPartyID: "did:web:them", DataspaceContext: "c", ProcessID: "flow", AgreementID: "agr", DatasetID: "ds",
			Profile: profileOfFunction, Claims: map[string]any{},
		})
	}
	report := func() bool {
		err := process(store).ReportStarted(t.Context(), pc, "flow", &gatewayapi.HookAnswer{DataAddress: &dps.DataAddress{Endpoint: "stream://us"}})
		if err != nil && !problem.Is(err, problem.Conflict) {
			r.Fatalf("report: %v", err)
		}
		return err == nil
	}

	calls := rapid.IntRange(1, 8).Draw(r, "dies at call")
	d := dying{Store: store, calls: &calls, after: rapid.Bool().Draw(r, "after it")}
	if _, err := start(process(d)); err != nil && !errors.Is(err, errDied) && !problem.Is(err, problem.Unavailable) {
		r.Fatalf("start: %v", err)
	}
	if _, err := store.Get(t.Context(), pc, "flow"); problem.Is(err, problem.NotFound) {
		return // it died before there was a flow: nobody waits for anything
	}
	counts := false
	if rapid.Bool().Draw(r, "the function reports") {
		counts = report()
	}
	if rapid.Bool().Draw(r, "the start comes again") {
		if answer, err := start(process(store)); (counts || promised) != (err == nil) {
			r.Fatalf("the function has reported: %v; the start, again: %s %v", counts, answer, err)
		}
	}
	if promised && !counts {
		overdue(t, r, rdb, process(store), pc)
		if f, err := store.Get(t.Context(), pc, "flow"); err != nil || f.State != dps.Starting {
			r.Fatalf("before its time: %+v %v", f, err)
		}
	}
	flowstoretest.Expire(t, rdb, pc)
	overdue(t, r, rdb, process(store), pc)
	if report() != counts { // once more, or too late
		r.Fatalf("the function has reported: %v; and now it is the other way", counts)
	}

	f, err := store.Get(t.Context(), pc, "flow")
	if err != nil {
		r.Fatal(err)
	}
	if want := map[bool]dps.State{true: dps.Started, false: dps.Terminated}[counts]; f.State != want {
		r.Fatalf("the flow is %s, want %s", f.State, want)
	}
	var told []string
	for _, e := range flowstoretest.Entries(t.Context(), t, rdb, pc) {
		if e.Lane == outbox.LaneCallback || e.Lane == outbox.LaneTerminate || e.Lane == outbox.LaneHook {
			told = append(told, string(e.Lane)+" "+e.Kind)
		}
	}
	want := []string{"hook terminate", "callback errored", "terminate "} // once, by whomever the flow was ended
	switch {
	case counts && promised:
		want = []string{"callback started"}
	case counts:
		want = nil
	}
	if !slices.Equal(told, want) {
		r.Fatalf("it is told %q, want %q", told, want)
	}
	again, err := start(process(store))
	if _, promise := again.Promise(); (counts || promised) != (err == nil) || (err != nil && !problem.Is(err, problem.Unprocessable)) || promise == counts && err == nil {
		r.Fatalf("in the end the start is answered %s %v", again, err)
	}
}

// overdue is what the relays of two replicas that live do with flows that are due.
func overdue(t *testing.T, r *rapid.T, rdb redis.UniversalClient, s *dataflow.Service, pc string) {
	t.Helper()
	for range 2 {
		if _, err := outbox.FallDue(t.Context(), rdb, []int{keys.Shard(pc)}); err != nil {
			r.Fatal(err)
		}
		n := 0
		for _, e := range flowstoretest.Entries(t.Context(), t, rdb, pc) {
			if e.Lane != outbox.LaneOverdue {
				continue
			}
			if n++; n > 1 {
				r.Fatal("it falls due twice")
			}
			if err := s.Overdue().Send(t.Context(), &e); err != nil {
				r.Fatal(err)
			}
		}
	}
}
