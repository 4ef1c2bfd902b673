package dataflow

import (
	"context"
	"slices"
	"strconv"
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
			if err := s.giveUp(ctx, f); err != nil {
				return nil, err
			}
			deadline = time.Now().Add(time.Minute) // it was reported in this very moment: it is read once more
		}
		time.Sleep(min(pause, max(time.Until(deadline), 0)))
	}
}

// giveUp ends a flow that a function has not finished in time; nil if it has, or the flow has ended otherwise.
func (s *Service) giveUp(ctx context.Context, f *flowstore.Flow) error {
	reason := unfinished(f)
	r, err := s.store.Apply(ctx, s.end(f, reason))
	if err != nil {
		return err
	}
	if r.Outcome == flowstore.Applied {
		return problem.New(problem.Unavailable, "%s", reason)
	}
	return nil
}

func unfinished(f *flowstore.Flow) string {
	return "function " + strconv.Quote(f.Hook) + " has not finished in time"
}

// end is the transition by which a flow ends that waits for a function. It is the answer to the signal that made the flow; whether
// that ever reaches the control plane nobody knows, so it is told as well, as of any flow that can't go on.
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

// Held ends the flows whose gateway has died while it held their answer: the outbox holds an entry for each from the step on in which the
// flow came to be. The control plane, which saw its connection break, may send its signal again, and then waits for what is left; so a flow
// has twice the time for which an answer is held. Then it is given up.
type Held struct{ service *Service }

var _ outbox.Sender = Held{}

// Held returns the sender of the outbox's lane of held answers.
func (s *Service) Held() Held { return Held{s} }

// heldPause is how often a flow that waits is looked at.
const heldPause = time.Second

// Send implements outbox.Sender. On the same entry twice, or when the flow has come to something meanwhile, it does nothing.
func (h Held) Send(ctx context.Context, e *outbox.Entry) error {
	s := h.service
	f, err := s.store.Get(ctx, e.PC, e.Subject)
	switch {
	case problem.Is(err, problem.NotFound):
		return nil
	case err != nil:
		return err
	case !slices.Contains(waiting, f.State):
		return nil
	}
	if left := 2*s.opts.HookWait - s.opts.Now().Sub(e.At); left > 0 {
		return &outbox.NotDueError{In: min(left, heldPause)}
	}
	_, err = s.store.Apply(ctx, s.end(f, unfinished(f)))
	return err
}
