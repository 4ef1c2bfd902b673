package dataflow

import (
	"context"

	"github.com/tidegate/tidegate/dps-gateway/internal/flowstore"
	"github.com/tidegate/tidegate/eventing/catalogue"
	"github.com/tidegate/tidegate/shared/dps"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/problem"
)

// meaning is what the fingerprint of a short message is made of.
type meaning struct {
	Signal      flowstore.Signal
	Reason      string
	DataAddress *dps.DataAddress
}

// Started starts a consumer's flow (DataFlowStartedNotificationMessage). On pull it takes the provider's address. On push there
// is none to take: control planes send back the address that this data plane made, or nothing. So the message tells which way the
// flow is meant to go, and the transition checks it.
func (s *Service) Started(ctx context.Context, c Call, m *dps.StartedNotificationMessage) (Answer, error) {
	if len(c.Profiles) > 0 || (m.DataAddress != nil && !builtin(m.DataAddress.EndpointType)) { // it may be a flow that a function serves
		f, err := s.flow(ctx, c)
		if err != nil {
			return nil, err
		}
		if f.Hook != "" {
			return s.startedHooked(ctx, c, m, f)
		}
	}
	dir, addr := dps.Push, (*dps.DataAddress)(nil)
	switch a := m.DataAddress; {
	case a == nil:
	case a.EndpointType == dps.ProfileHTTPPush:
		if err := s.echoed(a, c.DataFlowID); err != nil {
			return nil, err
		}
	default:
		if err := dps.ValidateAddress(a, dps.ProfileHTTPPull, s.opts.AllowHTTP); err != nil {
			return nil, err
		}
		dir, addr = dps.Pull, a
	}
	t, err := s.move(c, flowstore.NotifyOn, m.MessageID, meaning{DataAddress: m.DataAddress}, dps.Started, allowedFrom[dps.SignalStarted])
	if err != nil {
		return nil, err
	}
	t.Role, t.Direction, t.Address = dps.Consumer, dir, addr
	if m.DataAddress == nil && c.StartsBlind {
		t.Direction = ""
	}
	t.Effects = []flowstore.Effect{event(catalogue.DataFlowStarted)}
	r, err := s.store.Apply(ctx, t)
	if err != nil {
		return nil, err
	}
	if r.Outcome == flowstore.WrongState && r.State == dps.Suspended && c.StartsAgain {
		return s.startedAgain(ctx, t)
	}
	return r.Answer, refusal(r, t.Signal, t.DataFlowID)
}

// startedHooked asks the function that serves a flow before it is started. The flow tells the direction.
func (s *Service) startedHooked(ctx context.Context, c Call, m *dps.StartedNotificationMessage, f *flowstore.Flow) (Answer, error) {
	t, err := s.move(c, flowstore.NotifyOn, m.MessageID, meaning{DataAddress: m.DataAddress}, dps.Started, allowedFrom[dps.SignalStarted])
	if err != nil {
		return nil, err
	}
	t.Role, t.Effects = dps.Consumer, []flowstore.Effect{event(catalogue.DataFlowStarted)}
	kind := gatewayapi.HookStarted
	if f.Direction == dps.Pull && (m.DataAddress != nil || !c.StartsBlind) {
		if err := dps.ValidateAddress(m.DataAddress, f.Profile, s.opts.AllowHTTP); err != nil {
			return nil, err
		}
		t.Address = m.DataAddress
	}
	if f.State == dps.Suspended && c.StartsAgain && t.Address != nil { // see startedAgain
		t.From, t.Effects, kind = []dps.State{dps.Suspended}, []flowstore.Effect{event(catalogue.DataFlowResumed)}, gatewayapi.HookResume
	}
	return s.carryOut(ctx, c, t, f, kind, t.Address)
}

// Suspend stops a started flow. Its access token is good no more; open streams are cut.
func (s *Service) Suspend(ctx context.Context, c Call, m *dps.SuspendMessage) (Answer, error) {
	t, err := s.move(c, flowstore.Suspend, m.MessageID, meaning{Reason: m.Reason}, dps.Suspended, allowedFrom[dps.SignalSuspend])
	if err != nil {
		return nil, err
	}
	t.Reason, t.DropToken = m.Reason, true
	t.Effects = []flowstore.Effect{event(catalogue.DataFlowSuspended), hookEffect(gatewayapi.HookSuspend)}
	return s.apply(ctx, t)
}

// Resume starts a suspended flow again. The side that owns the data address answers with a fresh one, without which EDC loses the
// transfer; the other takes the one of the message, if there is one. It takes two round trips, the others one: what the token is
// bound to must be read first. A provider's flow needs a decision as its start did: one that is missing, as after a rebuild, is asked for.
func (s *Service) Resume(ctx context.Context, c Call, m *dps.ResumeMessage) (Answer, error) {
	f, err := s.flow(ctx, c)
	if err != nil {
		return nil, err
	}
	c.Once = nil
	t, err := s.move(c, flowstore.Resume, m.MessageID, meaning{DataAddress: m.DataAddress}, dps.Started, allowedFrom[dps.SignalResume])
	if err != nil {
		return nil, err
	}
	if m.DataAddress != nil {
		if err := s.resumeAddress(f, m.DataAddress); err != nil {
			return nil, err
		}
	}
	return s.resume(ctx, c, t, f, m.DataAddress)
}

// resume carries out a transition that starts a suspended flow again, with the address that came with it.
func (s *Service) resume(ctx context.Context, c Call, t *flowstore.Transition, f *flowstore.Flow, addr *dps.DataAddress) (Answer, error) {
	t.Role = f.Role
	t.Effects = []flowstore.Effect{event(catalogue.DataFlowResumed)}
	if f.Role == dps.Provider {
		t.Decided = decidedOf(f)
	}
	if !dps.OwnsAddress(f.Role, f.Direction) {
		t.Address = addr
	}
	return s.carryOut(ctx, c, t, f, gatewayapi.HookResume, t.Address)
}

// resumeAddress checks the address of a resume.
func (s *Service) resumeAddress(f *flowstore.Flow, a *dps.DataAddress) error {
	switch {
	case !dps.OwnsAddress(f.Role, f.Direction):
		return dps.ValidateAddress(a, f.Profile, s.opts.AllowHTTP)
	case f.Direction == dps.Push && !builtin(f.Profile):
		return nil // control planes send back what the function has made
	case f.Direction == dps.Push:
		return s.echoed(a, f.DataFlowID)
	}
	return problem.Field("dataAddress", "must be absent: the provider's data plane supplies the address")
}

// echoed refuses an address on push that is not the one that this data plane made for the flow.
func (s *Service) echoed(a *dps.DataAddress, id string) error {
	if a.Endpoint != s.issuer.Endpoint(Grant{DataFlowID: id, Direction: dps.Push}) {
		return problem.Field("dataAddress", "is not the one that this data plane made: on push the consumer's data plane supplies the address")
	}
	return nil
}

// Terminate ends a flow for good.
func (s *Service) Terminate(ctx context.Context, c Call, m *dps.TerminateMessage) (Answer, error) {
	t, err := s.move(c, flowstore.Terminate, m.MessageID, meaning{Reason: m.Reason}, dps.Terminated, allowedFrom[dps.SignalTerminate])
	if err != nil {
		return nil, err
	}
	t.Reason, t.DropToken, t.DropAddress = m.Reason, true, true
	t.Effects = []flowstore.Effect{event(catalogue.DataFlowTerminated), hookEffect(gatewayapi.HookTerminate)}
	return s.apply(ctx, t)
}

// Completed is the control plane's word that all data has been moved. On a flow that a function completed before, it is
// no news.
func (s *Service) Completed(ctx context.Context, c Call, messageID string) (Answer, error) {
	t, err := s.move(c, flowstore.Completed, messageID, meaning{}, dps.Completed, allowedFrom[dps.SignalCompleted])
	if err != nil {
		return nil, err
	}
	t.DropToken, t.DropAddress = true, true
	t.Effects = []flowstore.Effect{event(catalogue.DataFlowCompleted), hookEffect(gatewayapi.HookComplete)}
	r, err := s.store.Apply(ctx, t)
	if err != nil {
		return nil, err
	}
	if r.Outcome == flowstore.WrongState && r.State == dps.Completed {
		return t.Answer, nil
	}
	return r.Answer, refusal(r, t.Signal, t.DataFlowID)
}

// Status reads a flow for the control plane.
func (s *Service) Status(ctx context.Context, c Call) (*dps.StatusResponseMessage, error) {
	f, err := s.flow(ctx, c)
	if err != nil {
		return nil, err
	}
	return &dps.StatusResponseMessage{DataFlowID: f.DataFlowID, State: f.State}, nil
}

func (s *Service) move(c Call, signal flowstore.Signal, messageID string, m meaning, to dps.State, from []dps.State) (*flowstore.Transition, error) {
	m.Signal = signal
	print, err := fingerprint(m)
	if err != nil {
		return nil, err
	}
	t := s.transition(c, signal, messageID, print)
	t.From, t.To = from, to
	if to != "" {
		if t.Answer, err = statusAnswer(c.DataFlowID, to, nil); err != nil {
			return nil, err
		}
	}
	return t, nil
}

func (s *Service) apply(ctx context.Context, t *flowstore.Transition) (Answer, error) {
	r, err := s.store.Apply(ctx, t)
	if err != nil {
		return nil, err
	}
	return r.Answer, refusal(r, t.Signal, t.DataFlowID)
}
