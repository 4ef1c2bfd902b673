package dataflow

import (
	"context"
	"time"

	"github.com/tidegate/tidegate/dps-gateway/internal/flowstore"
	"github.com/tidegate/tidegate/dps-gateway/internal/outbox"
	"github.com/tidegate/tidegate/eventing/catalogue"
	"github.com/tidegate/tidegate/shared/dps"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/problem"
)

// earlyReport bounds how long a report waits for its flow: a function may be faster than the gateway is in keeping its promise.
const earlyReport = 2 * time.Second

// ReportPrepared takes a function's word that what it has promised of a prepare is done. The flow is PREPARED, and a control plane that was
// answered with the promise is called back, in one step. Said twice it is said once. Of a flow that has ended meanwhile it is a Conflict: the
// function is told of the end by itself.
func (s *Service) ReportPrepared(ctx context.Context, pc, id string, a *gatewayapi.HookAnswer) error {
	return s.report(ctx, pc, id, a, reportOf{
		signal: flowstore.ReportPrepared, from: dps.Preparing, to: dps.Prepared, event: catalogue.DataFlowPrepared, callback: outbox.CallbackPrepared,
	})
}

// ReportStarted is ReportPrepared for a start.
func (s *Service) ReportStarted(ctx context.Context, pc, id string, a *gatewayapi.HookAnswer) error {
	return s.report(ctx, pc, id, a, reportOf{
		signal: flowstore.ReportStarted, from: dps.Starting, to: dps.Started, event: catalogue.DataFlowStarted, callback: outbox.CallbackStarted,
	})
}

type reportOf struct {
	signal   flowstore.Signal
	from, to dps.State
	event    string
	callback outbox.Callback
}

func (s *Service) report(ctx context.Context, pc, id string, a *gatewayapi.HookAnswer, o reportOf) error {
	f, err := s.promised(ctx, pc, id)
	switch {
	case err != nil:
		return err
	case f.Hook == "":
		return problem.New(problem.Conflict, "no function serves the data flow")
	}
	print, err := fingerprint(a)
	if err != nil {
		return err
	}
	t := s.own(pc, id, o.signal, print)
	t.From, t.To, t.Amends = []dps.State{o.from}, o.to, true
	if f.Role == dps.Provider {
		t.Decided = decidedOf(f)
	}
	t.Effects = []flowstore.Effect{event(o.event)}
	if f.Promised {
		t.Effects = append(t.Effects, flowstore.Effect{Lane: outbox.LaneCallback, Kind: string(o.callback)})
	}
	if err := s.accept(ctx, t, f, a); err != nil {
		if f.State.Terminal() {
			return tooLate(f.State)
		}
		return err
	}
	r, err := s.store.Apply(ctx, t)
	switch {
	case err != nil:
		return err
	case r.Outcome == flowstore.WrongState:
		return tooLate(r.State)
	}
	return refusal(r, t.Signal, id)
}

func tooLate(state dps.State) error {
	return problem.New(problem.Conflict, "the data flow is %s", state)
}

// promised reads a flow that should be there or about to be.
func (s *Service) promised(ctx context.Context, pc, id string) (*flowstore.Flow, error) {
	deadline := time.Now().Add(earlyReport)
	for {
		f, err := s.store.Get(ctx, pc, id)
		if !problem.Is(err, problem.NotFound) || time.Now().After(deadline) {
			return f, err
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return nil, problem.Wrap(problem.Timeout, ctx.Err(), "the caller has gone")
		}
	}
}

// Failed takes a function's word that it can't do what it has promised to a control plane that waits for it: the flow ends, and the
// reason is the answer. done is false for any other flow.
func (s *Service) Failed(ctx context.Context, pc, id, reason string) (done bool, err error) {
	f, err := s.store.Get(ctx, pc, id)
	if err != nil || f.Promised || (f.State != dps.Preparing && f.State != dps.Starting) {
		return false, err
	}
	t := s.own(pc, id, flowstore.Errored, string(flowstore.Errored))
	t.From, t.To, t.Reason, t.DropAddress = waiting, dps.Terminated, reason, true
	t.Effects = []flowstore.Effect{event(catalogue.DataFlowTerminated), hookEffect(gatewayapi.HookTerminate)}
	r, err := s.store.Apply(ctx, t)
	return r.Outcome == flowstore.Applied || r.Outcome == flowstore.Replayed, err
}

// own begins a transition that no control plane asks for. The signal itself is the message: a flow takes each of them once.
func (s *Service) own(pc, id string, signal flowstore.Signal, fingerprint string) *flowstore.Transition {
	t := s.transition(Call{ParticipantContextID: pc, DataFlowID: id}, signal, string(signal), fingerprint)
	t.Caller = nil
	return t
}
