package dataflow

import (
	"cmp"
	"context"
	"maps"
	"strconv"
	"time"

	"github.com/tidegate/tidegate/dps-gateway/internal/flowstore"
	"github.com/tidegate/tidegate/dps-gateway/internal/outbox"
	"github.com/tidegate/tidegate/eventing/catalogue"
	"github.com/tidegate/tidegate/shared/dps"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/problem"
)

// Hooks asks the functions that serve transfer profiles; see gatewayapi.PathHook.
type Hooks interface {
	// Ask returns what the function answers, or that it will do later what it was asked. A refusal is an error that is not Temporary.
	Ask(ctx context.Context, function string, r *gatewayapi.HookRequest) (answer *gatewayapi.HookAnswer, later bool, err error)
}

// Appender puts an entry on the outbox.
type Appender interface {
	Append(ctx context.Context, e *outbox.Entry) error
}

func hookEffect(kind gatewayapi.HookKind) flowstore.Effect {
	return flowstore.Effect{Lane: outbox.LaneHook, Kind: string(kind)}
}

// builtin tells whether the gateway itself serves a profile, and makes its addresses.
func builtin(profile string) bool {
	return profile == dps.ProfileHTTPPull || profile == dps.ProfileHTTPPush
}

// carryOut makes a transition of a flow (t.New, if it is to be made). theirs is the data address that came with the signal.
func (s *Service) carryOut(ctx context.Context, c Call, t *flowstore.Transition, f *flowstore.Flow, kind gatewayapi.HookKind, theirs *dps.DataAddress) (Answer, error) {
	if f.Hook != "" {
		return s.hooked(ctx, c, t, f, kind, theirs)
	}
	if err := s.accept(ctx, t, f, nil); err != nil {
		return nil, err
	}
	r, err := s.applyDecided(ctx, t, f)
	if err != nil {
		return nil, err
	}
	return s.settle(ctx, c, t, r)
}

// hooked asks the function that serves the flow, if the state machine, and for a provider the decision, allow what it is asked. Nothing is
// kept of what it refuses. If the gateway dies between its answer and the transition, the control plane sends the signal again, and the
// function is asked again with the same key.
func (s *Service) hooked(ctx context.Context, c Call, t *flowstore.Transition, f *flowstore.Flow, kind gatewayapi.HookKind, theirs *dps.DataAddress) (Answer, error) {
	t.Check = true
	r, err := s.applyDecided(ctx, t, f)
	if err != nil {
		return nil, err
	}
	if r.Outcome != flowstore.Allowed {
		return s.settle(ctx, c, t, r)
	}
	t.Check = false
	answer, later, err := s.ask(ctx, t, f, kind, r.Revision+1, theirs)
	if err != nil {
		return nil, err
	}
	if later {
		err = s.promise(c, t)
	} else if err = s.accept(ctx, t, f, answer); problem.Is(err, problem.Invalid) {
		err = problem.Wrap(problem.Upstream, err, "function %q answers what does not fit the data flow", f.Hook)
	}
	if err != nil {
		return nil, err
	}
	t.Now = s.opts.Now()
	if r, err = s.applyDecided(ctx, t, f); err != nil {
		return nil, err
	}
	if err := s.undo(ctx, t, f, r); err != nil {
		return nil, err
	}
	return s.settle(ctx, c, t, r)
}

func (s *Service) ask(ctx context.Context, t *flowstore.Transition, f *flowstore.Flow, kind gatewayapi.HookKind, revision int64, theirs *dps.DataAddress) (*gatewayapi.HookAnswer, bool, error) {
	if s.opts.Hooks == nil {
		return nil, false, problem.New(problem.Unavailable, "function %q can't be called", f.Hook)
	}
	ctx, cancel := context.WithTimeout(ctx, s.opts.HookWait)
	defer cancel()
	flow := f.Flow
	flow.Revision = revision
	if flow.State == "" {
		flow.State, flow.CreatedAt, flow.UpdatedAt = dps.Initialized, t.Now.UTC(), t.Now.UTC()
	}
	return s.opts.Hooks.Ask(ctx, f.Hook, &gatewayapi.HookRequest{
		Kind: kind, Flow: flow, DataAddress: theirs,
		Key: catalogue.ID("hook", t.ParticipantContextID, t.DataFlowID, string(kind), strconv.FormatInt(revision, 10), t.Fingerprint),
	})
}

// promise makes of a transition that makes a flow the one to the state in which it waits for the function's report.
func (s *Service) promise(c Call, t *flowstore.Transition) (err error) {
	state, ok := dps.Asynchronous(dps.Signal(t.Signal))
	if !ok || t.New == nil { // a second start is a resume
		return problem.New(problem.Upstream, "the function promises for later what must be done at once: %s", t.Signal)
	}
	t.To, t.Effects, t.New.Promised = state, nil, c.Asynchronous
	t.New.ReportWithin = 2 * s.opts.HookWait // see Overdue
	if c.Asynchronous {
		t.New.ReportWithin = cmp.Or(time.Duration(c.profile(t.New.Profile).ReportWithin), s.opts.ReportWithin)
	}
	t.Answer, err = statusAnswer(t.DataFlowID, state, nil)
	return err
}

// accept puts into a transition what is answered: the data address, if this side owns it, made by the gateway for its own profiles and by the
// function for others, and what the function wants to be remembered. An answer that does not fit is Invalid.
func (s *Service) accept(ctx context.Context, t *flowstore.Transition, f *flowstore.Flow, a *gatewayapi.HookAnswer) (err error) {
	if a == nil {
		a = &gatewayapi.HookAnswer{}
	}
	addr := a.DataAddress
	owed := dps.OwnsAddress(f.Role, f.Direction) && t.Signal != flowstore.NotifyOn // on push it was made when the flow was prepared
	switch {
	case addr != nil && !owed:
		return problem.Field("dataAddress", "must be absent: it is the other side's")
	case addr != nil && builtin(f.Profile):
		return problem.Field("dataAddress", "must be absent: the gateway makes the addresses of this profile")
	case owed && builtin(f.Profile):
		if addr, t.TokenID, err = s.issuer.Issue(ctx, grantOf(f)); err != nil {
			return err
		}
	case owed:
		if addr, err = made(addr, f.Profile); err != nil {
			return err
		}
	}
	if len(a.Metadata) > 0 {
		all := maps.Clone(f.Metadata)
		if all == nil {
			all = map[string]any{}
		}
		maps.Copy(all, a.Metadata)
		if t.Metadata = all; t.New != nil {
			t.New.Metadata = all
		}
	}
	t.Answer, err = statusAnswer(t.DataFlowID, t.To, addr)
	return err
}

// made checks a data address that a function has made.
func made(a *dps.DataAddress, profile string) (*dps.DataAddress, error) {
	if a == nil || a.Endpoint == "" {
		return nil, problem.Field("dataAddress.endpoint", "is missing: this side makes the data address")
	}
	out := *a
	if out.EndpointType == "" {
		out.EndpointType = profile
	}
	return &out, dps.ValidateAddress(&out, profile, true)
}

// undo has a function told that what it has done came to nothing: the flow has ended meanwhile, or could not be made any more.
func (s *Service) undo(ctx context.Context, t *flowstore.Transition, f *flowstore.Flow, r flowstore.Result) error {
	switch {
	case r.Outcome == flowstore.Applied, r.Outcome == flowstore.Replayed, r.Outcome == flowstore.Exists:
		return nil
	case s.opts.Outbox == nil, t.New == nil && !r.State.Terminal():
		return nil
	}
	return s.opts.Outbox.Append(ctx, &outbox.Entry{
		PC: t.ParticipantContextID, Lane: outbox.LaneHook, Kind: string(gatewayapi.HookTerminate), Subject: t.DataFlowID, Hook: f.Hook,
		State: dps.Terminated, Role: f.Role, Direction: f.Direction, Profile: f.Profile, CounterPartyID: f.CounterPartyID,
		AgreementID: f.AgreementID, DatasetID: f.DatasetID, Reason: "the data flow did not come to be", Revision: max(r.Revision, 1), At: t.Now,
	})
}

// settle makes the answer of a result. A control plane that can take no promise is made to wait until it is kept.
func (s *Service) settle(ctx context.Context, c Call, t *flowstore.Transition, r flowstore.Result) (Answer, error) {
	if r.Outcome == flowstore.Exists && r.State == dps.Suspended && t.Signal == flowstore.Start && c.StartsAgain {
		return s.startAgain(ctx, c, t)
	}
	if err := refusal(r, t.Signal, t.DataFlowID); err != nil {
		return nil, err
	}
	if _, promised := Answer(r.Answer).Promise(); !promised || c.Asynchronous {
		return r.Answer, nil
	}
	return s.hold(ctx, t)
}
