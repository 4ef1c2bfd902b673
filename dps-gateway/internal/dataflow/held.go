package dataflow

import (
	"context"
	"fmt"
	"time"

	"github.com/tidegate/tidegate/dps-gateway/internal/flowstore"
	"github.com/tidegate/tidegate/dps-gateway/internal/outbox"
	"github.com/tidegate/tidegate/eventing/catalogue"
	"github.com/tidegate/tidegate/shared/dps"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/problem"
)

const (
	holdPause    = 10 * time.Millisecond
	maxHoldPause = 200 * time.Millisecond
)

// hold waits for a function's report, for a bounded time, and even if the control plane has gone: it asks again, and must find what came
// of it. If nothing is reported the flow ends.
func (s *Service) hold(ctx context.Context, t *flowstore.Transition) (Answer, error) {
	ctx = context.WithoutCancel(ctx)
	deadline := time.Now().Add(s.opts.HookWait)
	for pause := holdPause; ; pause = min(2*pause, maxHoldPause) {
		f, err := s.store.Get(ctx, t.ParticipantContextID, t.DataFlowID)
		switch {
		case err != nil:
			return nil, err
		case f.State.Terminal():
			return nil, problem.New(problem.Unprocessable, "the data flow is %s: %s", f.State, orElse(f.Reason, "no reason was given"))
		case f.State != dps.Preparing && f.State != dps.Starting:
			return s.store.FirstAnswer(ctx, t.ParticipantContextID, t.DataFlowID)
		case time.Until(deadline) <= 0:
			if err := s.giveUp(ctx, f, s.opts.HookWait); err != nil {
				return nil, err
			}
			deadline = time.Now().Add(time.Minute) // it was reported in this very moment: it is read once more
		}
		time.Sleep(min(pause, max(time.Until(deadline), 0)))
	}
}

// giveUp ends a flow whose function has not reported in time; nil if it has, or the flow has ended otherwise.
func (s *Service) giveUp(ctx context.Context, f *flowstore.Flow, waited time.Duration) error {
	reason := unreported(f, waited)
	r, err := s.store.Apply(ctx, s.end(f, reason))
	if err != nil {
		return err
	}
	if r.Outcome == flowstore.Applied {
		return problem.New(problem.Unavailable, "%s", reason)
	}
	return nil
}

// unreported says what a flow has waited for and how long.
func unreported(f *flowstore.Flow, waited time.Duration) string {
	what := "prepared"
	if f.State == dps.Starting {
		what = "started"
	}
	return fmt.Sprintf("function %q has not reported in time, which was %v, that the data flow is %s", f.Hook, waited, what)
}

// end is the transition by which a flow ends that waits for a function. The control plane is told as of any flow that can't go on: it was
// promised a callback; or the answer to its signal was held, and whether that ever reaches it nobody knows.
func (s *Service) end(f *flowstore.Flow, reason string) *flowstore.Transition {
	t := s.own(f.ParticipantContextID, f.DataFlowID, flowstore.GiveUp, string(flowstore.GiveUp))
	t.From, t.To, t.Reason, t.DropAddress = waiting, dps.Terminated, reason, true
	t.Effects = []flowstore.Effect{
		event(catalogue.DataFlowTerminated),
		hookEffect(gatewayapi.HookTerminate),
		{Lane: outbox.LaneCallback, Kind: string(outbox.CallbackErrored)},
		{Lane: outbox.LaneTerminate},
	}
	return t
}

var waiting = []dps.State{dps.Preparing, dps.Starting}
