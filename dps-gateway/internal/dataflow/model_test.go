package dataflow_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

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

const profile = "https://profiles.test/stream-pull"

// hooks is a function that answers as it is told, and remembers by which key it was asked for what.
type hooks struct {
	how  string // now, later, refuse or fail
	id   string // of the message that is being sent
	keys map[string]string
	t    *rapid.T
}

func (h *hooks) Ask(_ context.Context, _ string, r *gatewayapi.HookRequest) (*gatewayapi.HookAnswer, bool, error) {
	what := fmt.Sprint(r.Kind, r.Flow.Revision, h.id)
	if before, asked := h.keys[what]; asked && before != r.Key {
		h.t.Fatalf("%s was asked with the keys %s and %s", what, before, r.Key)
	}
	h.keys[what] = r.Key
	switch h.how {
	case "later":
		return nil, true, nil
	case "refuse":
		return nil, false, problem.New(problem.Forbidden, "no")
	case "fail":
		return nil, false, problem.New(problem.Unavailable, "away")
	}
	return opened(), false, nil
}

func opened() *gatewayapi.HookAnswer {
	return &gatewayapi.HookAnswer{DataAddress: &dps.DataAddress{Endpoint: "stream://here"}}
}

// crashing is a store whose gateway dies before the next change is written.
type crashing struct {
	flowstore.Store
	dies bool
}

func (c *crashing) Apply(ctx context.Context, t *flowstore.Transition) (flowstore.Result, error) {
	if c.dies && !t.Check {
		return flowstore.Result{}, problem.New(problem.Unavailable, "the gateway has died")
	}
	return c.Store.Apply(ctx, t)
}

// next is the model: the state that a signal leads to, if the function has no objection; "" if it is refused.
func next(state dps.State, signal, how string) dps.State {
	switch {
	case signal == "start" && state == "" && how == "later":
		return dps.Starting
	case signal == "start" && state == "":
		return dps.Started
	case signal == "report" && state == dps.Starting:
		return dps.Started
	case signal == "overdue" && state == dps.Starting:
		return dps.Terminated
	case signal == "suspend" && state == dps.Started:
		return dps.Suspended
	case signal == "resume" && state == dps.Suspended && how != "later":
		return dps.Started
	case signal == "completed" && state == dps.Started:
		return dps.Completed
	case signal == "terminate" && state != "" && !state.Terminal():
		return dps.Terminated
	}
	return ""
}

// TestModelOfAFlowThatAFunctionServes sends random signals, with a function that does what it is asked at once, later, not, or fails, and a
// gateway that dies between the function's answer and its own; what is sent again then must come to what it would have come to.
func TestModelOfAFlowThatAFunctionServes(t *testing.T) {
	rdb, _ := redistest.Mini(t)
	n := 0
	rapid.Check(t, func(r *rapid.T) {
		n++
		pc := fmt.Sprintf("tenant-%d", n)
		flowstoretest.Decide(t, rdb, pc, "agr", gatewayapi.Approved, "ds", "did:web:them", false)
		bell := outbox.NewBell()
		store := &crashing{Store: flowstore.New(rdb, bell, time.Hour)}
		h := &hooks{keys: map[string]string{}, t: r}
		s := dataflow.New(store, nil, nil, dataflow.Options{Hooks: h, Outbox: outbox.NewWriter(rdb, bell), HookWait: time.Second})
		call := dataflow.Call{
			ParticipantContextID: pc, DataFlowID: "f", Asynchronous: true, Profiles: []tenant.Profile{{Profile: profile, Hook: "streams"}},
		}
		ctx := context.Background()
		send := func(signal string, id string) (dataflow.Answer, error) {
			h.id = id
			switch signal {
			case "start":
				return s.Start(ctx, call, &dps.FlowMessage{
					MessageID: id, ProcessID: "f", ParticipantID: "did:web:us", CounterPartyID: "did:web:them", AgreementID: "agr", DatasetID: "ds", Profile: profile,
					Metadata: map[string]any{"n": id},
				})
			case "suspend":
				return s.Suspend(ctx, call, &dps.SuspendMessage{MessageID: id, Reason: id})
			case "resume":
				return s.Resume(ctx, call, &dps.ResumeMessage{MessageID: id})
			case "terminate":
				return s.Terminate(ctx, call, &dps.TerminateMessage{MessageID: id, Reason: id})
			case "completed":
				return s.Completed(ctx, call, id)
			case "overdue":
				return nil, s.Overdue().Send(ctx, &outbox.Entry{PC: pc, Lane: outbox.LaneOverdue, Subject: "f"})
			}
			return nil, s.ReportStarted(ctx, pc, "f", opened())
		}
		state := dps.State("")
		var told []string
		last, reported := "", false // signal that changed something
		for i := range rapid.IntRange(1, 25).Draw(r, "steps") {
			signal := rapid.SampledFrom([]string{"start", "report", "overdue", "suspend", "resume", "resume", "completed", "terminate"}).Draw(r, "signal")
			if state == "" && signal != "start" || (signal == "terminate" || signal == "completed") && rapid.IntRange(0, 3).Draw(r, "really") > 0 {
				continue // a report on what is not there waits for it
			}
			id := fmt.Sprintf("m%d", i)
			h.how = rapid.SampledFrom([]string{"now", "now", "now", "later", "refuse", "fail"}).Draw(r, "function")
			asked := signal == "start" || signal == "resume"
			to := next(state, signal, h.how)
			if asked && (h.how == "refuse" || h.how == "fail") {
				to = ""
			}
			before, _ := s.Status(ctx, call)
			if asked && to != "" && rapid.IntRange(0, 3).Draw(r, "dies") == 0 {
				store.dies = true
				if _, err := send(signal, id); err == nil {
					r.Fatalf("%s was answered by a gateway that has died", signal)
				}
				store.dies = false
				if after, _ := s.Status(ctx, call); (before == nil) != (after == nil) || (before != nil && *before != *after) {
					r.Fatalf("half done: %+v, before %+v", after, before)
				}
			}
			answer, err := send(signal, id)
			ignored := signal == "overdue" || (signal == "report" && reported)        // said again
			repeat := signal == last && (signal == "resume" || signal == "completed") // of the same content, with nothing between
			if (to == "") != (err != nil) && !ignored && !repeat {
				r.Fatalf("%s in %q with a function that answers %q: %v, want state %q", signal, state, h.how, err, to)
			}
			if to != "" {
				state, last = to, signal
				reported = reported || signal == "report"
				if kind := map[string]gatewayapi.HookKind{"suspend": gatewayapi.HookSuspend, "terminate": gatewayapi.HookTerminate, "overdue": gatewayapi.HookTerminate, "completed": gatewayapi.HookComplete}[signal]; kind != "" {
					told = append(told, string(kind))
				}
				again, err := send(signal, id)
				if err != nil || string(again) != string(answer) {
					r.Fatalf("%s again: %s %v, first %s", signal, again, err, answer)
				}
			}
			got, err := s.Status(ctx, call)
			if (state == "") != problem.Is(err, problem.NotFound) || (state != "" && got.State != state) {
				r.Fatalf("after %s: %+v %v, want %q", signal, got, err, state)
			}
		}
		var sent []string
		for _, e := range flowstoretest.Entries(ctx, t, rdb, pc) {
			if e.Lane == outbox.LaneHook {
				sent = append(sent, e.Kind)
			}
		}
		if !slices.Equal(told, sent) {
			r.Fatalf("the function is told %v, want %v", sent, told)
		}
	})
}
