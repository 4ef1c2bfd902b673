package crashes_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/dps-gateway/internal/dataflow"
	"github.com/tidegate/tidegate/dps-gateway/internal/flowstore"
	"github.com/tidegate/tidegate/dps-gateway/internal/flowstore/flowstoretest"
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

// clock is a time that the test moves on.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) forward(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// TestNoFlowWaitsForAGatewayThatHasDied kills the gateway at every step of a start whose answer it holds. The control plane sends
// the start again or not, the function reports or not, before or after. Whatever happens, the flow comes to an end of its wait in a
// bounded time; what the function reported in time counts; and a control plane that got no answer hears once why.
func TestNoFlowWaitsForAGatewayThatHasDied(t *testing.T) {
	redistest.Each(t, func(t *testing.T, rdb redis.UniversalClient) {
		t.Helper()
		n := 0
		rapid.Check(t, func(r *rapid.T) {
			n++
			held(t, r, rdb, fmt.Sprintf("held-%d", n))
		})
	})
}

func held(t *testing.T, r *rapid.T, rdb redis.UniversalClient, pc string) {
	t.Helper()
	flowstoretest.Decide(t, rdb, pc, "agr", gatewayapi.Approved, "ds", "did:web:them", false)
	c := &clock{at: time.Now()}
	store := flowstore.New(rdb, outbox.NewBell(), time.Hour)
	process := func(s flowstore.Store) *dataflow.Service {
		return dataflow.New(s, &issuer{}, noDecider{}, dataflow.Options{HookWait: heldFor, Hooks: promising{}, Now: c.now})
	}
	call := dataflow.Call{ParticipantContextID: pc, DataFlowID: "flow", Profiles: []tenant.Profile{{Profile: profileOfFunction, Hook: "streams"}}}
	start := func(s *dataflow.Service) (dataflow.Answer, error) {
		return s.Start(t.Context(), call, &dps.FlowMessage{
			MessageID: "m1", ParticipantID: "did:web:us", CounterPartyID: "did:web:them", DataspaceContext: "c", ProcessID: "flow", AgreementID: "agr", DatasetID: "ds",
			Profile: profileOfFunction, Claims: map[string]any{},
		})
	}
	report := func() bool {
		late, err := process(store).ReportStarted(t.Context(), pc, "flow", &gatewayapi.HookAnswer{DataAddress: &dps.DataAddress{Endpoint: "stream://us"}})
		if err != nil {
			r.Fatalf("report: %v", err)
		}
		return !late
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
		if answer, err := start(process(store)); counts != (err == nil) {
			r.Fatalf("the function has reported: %v; the start, again: %s %v", counts, answer, err)
		}
	}
	sweep(t, r, rdb, process(store).Held(), c, pc)

	f, err := store.Get(t.Context(), pc, "flow")
	if err != nil {
		r.Fatal(err)
	}
	if want := map[bool]dps.State{true: dps.Started, false: dps.Terminated}[counts]; f.State != want {
		r.Fatalf("the flow is %s, want %s", f.State, want)
	}
	var told []string
	for _, e := range flowstoretest.Entries(t.Context(), t, rdb, pc) {
		if e.Lane == outbox.LaneCallback || e.Lane == outbox.LaneTerminate {
			told = append(told, string(e.Lane)+" "+e.Kind)
		}
	}
	want := []string{"callback errored", "terminate "} // once, by whomever the flow was ended
	if counts {
		want = nil
	}
	if !slices.Equal(told, want) {
		r.Fatalf("the control plane is told %q, want %q", told, want)
	}
	if again, err := start(process(store)); counts != (err == nil) || (err != nil && !problem.Is(err, problem.Unprocessable)) {
		r.Fatalf("in the end the start is answered %s %v", again, err)
	}
}

// sweep is what the relay of a replica that lives does with the entries of held answers, before their time and after it, and once more.
func sweep(t *testing.T, r *rapid.T, rdb redis.UniversalClient, sender outbox.Sender, c *clock, pc string) {
	t.Helper()
	send := func() (n int, err error) {
		for _, e := range flowstoretest.Entries(t.Context(), t, rdb, pc) {
			if e.Lane == outbox.LaneHeld {
				n++
				err = errors.Join(err, sender.Send(t.Context(), &e))
			}
		}
		return n, err
	}
	n, err := send()
	if _, early := errors.AsType[*outbox.NotDueError](err); n != 1 || (err != nil && !early) {
		r.Fatalf("%d entries before their time: %v", n, err)
	}
	c.forward(2 * heldFor)
	for range 2 {
		if _, err := send(); err != nil {
			r.Fatalf("when it is time: %v", err)
		}
	}
}
