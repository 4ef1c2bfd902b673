package dataflow

import (
	"context"
	"strings"

	"github.com/tidegate/tidegate/dps-gateway/internal/flowstore"
	"github.com/tidegate/tidegate/eventing/catalogue"
	"github.com/tidegate/tidegate/shared/dps"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/tenant"
)

// Prepare makes a consumer's flow (DataFlowPrepareMessage). On pull it waits PREPARED for the provider's address. On push the
// answer holds the address to which the provider is to push, and the flow can receive from then on: data may come before the
// started notification does.
func (s *Service) Prepare(ctx context.Context, c Call, m *dps.FlowMessage) (Answer, error) {
	dir, err := c.direction(m)
	if err != nil {
		return nil, err
	}
	if _, err := dps.CheckAddress(dps.SignalPrepare, dps.Consumer, dir, m.DataAddress); err != nil {
		return nil, err
	}
	t, err := s.creation(c, flowstore.Prepare, m, dps.Consumer, dir)
	if err != nil {
		return nil, err
	}
	t.To = dps.Prepared
	t.Effects = []flowstore.Effect{event(catalogue.DataFlowPrepared)}
	return s.carryOut(ctx, c, t, t.New, gatewayapi.HookPrepare, nil)
}

// Start makes a provider's flow (DataFlowStartMessage), if the dataset is there and its agreement has an approving decision.
// If there is no decision yet, it asks for one and waits for a bounded time. On pull the answer holds the address from which
// the consumer pulls; on push the message must hold the one to which the data goes. A second start for the same process is refused,
// unless the control plane knows no other way to resume.
func (s *Service) Start(ctx context.Context, c Call, m *dps.FlowMessage) (Answer, error) {
	dir, err := c.direction(m)
	if err != nil {
		return nil, err
	}
	addr, err := dps.CheckAddress(dps.SignalStart, dps.Provider, dir, m.DataAddress)
	if err != nil {
		return nil, err
	}
	if dir == dps.Push {
		if err := dps.ValidateAddress(addr, m.Profile, s.opts.AllowHTTP); err != nil {
			return nil, err
		}
	}
	t, err := s.creation(c, flowstore.Start, m, dps.Provider, dir)
	if err != nil {
		return nil, err
	}
	t.To, t.Address = dps.Started, addr
	t.Decided = decidedOf(t.New)
	t.Effects = []flowstore.Effect{event(catalogue.DataFlowStarted)}
	return s.carryOut(ctx, c, t, t.New, gatewayapi.HookStart, addr)
}

// decidedOf is what a provider's flow needs: a decision, and a dataset that is registered, unless a function serves it.
func decidedOf(f *flowstore.Flow) *flowstore.Decided {
	return &flowstore.Decided{AgreementID: f.AgreementID, DatasetID: f.DatasetID, Unregistered: f.Hook != "" && !builtin(f.Profile)}
}

// applyDecided makes a transition that needs a decision on the agreement of a flow. If there is none yet, it has one made, and tries again.
func (s *Service) applyDecided(ctx context.Context, t *flowstore.Transition, f *flowstore.Flow) (flowstore.Result, error) {
	r, err := s.store.Apply(ctx, t)
	if err != nil || r.Outcome != flowstore.Undecided {
		return r, err
	}
	if err := s.decide(ctx, t, f); err != nil {
		return r, err
	}
	t.Now = s.opts.Now()
	return s.store.Apply(ctx, t)
}

// decide has the missing decision made. What it was is read from the record, by the transition that follows. The agreement of a control plane
// that has registered itself is told by that one: the approver asks the one of the tenant's document, which knows others by the same ids.
func (s *Service) decide(ctx context.Context, t *flowstore.Transition, f *flowstore.Flow) error {
	ctx, cancel := context.WithTimeout(ctx, s.opts.DecideTimeout)
	defer cancel()
	req := gatewayapi.DecideRequest{
		ParticipantContextID: f.ParticipantContextID, AgreementID: f.AgreementID, DatasetID: f.DatasetID,
		CounterPartyID: f.CounterPartyID, Claims: f.Claims,
	}
	if t.Caller != nil && t.Caller.ControlPlane != "" {
		var err error
		if req.Agreement, err = s.told(ctx, t.Caller.ControlPlane, f); err != nil {
			return err
		}
	}
	d, err := s.decider.Decide(ctx, req)
	if err != nil {
		return problem.Wrap(problem.Unavailable, err, "there is no decision on the agreement, and none could be had in time")
	}
	switch d.Verdict {
	case gatewayapi.Approved:
		return nil
	case gatewayapi.Rejected:
		return refusal(flowstore.Result{Outcome: flowstore.Rejected, Reason: d.Reason}, t.Signal, f.DataFlowID)
	case gatewayapi.Review:
		return refusal(flowstore.Result{Outcome: flowstore.InReview, Reason: d.Reason}, t.Signal, f.DataFlowID)
	}
	return problem.New(problem.Forbidden, "there is no decision on the agreement")
}

// told is what a control plane that has registered itself tells of the agreement of its flow.
func (s *Service) told(ctx context.Context, controlPlane string, f *flowstore.Flow) (*gatewayapi.Agreement, error) {
	if s.opts.Agreements == nil {
		return nil, problem.New(problem.Forbidden, "there is no decision on the agreement, and its control plane can't be asked for it")
	}
	a, err := s.opts.Agreements.ToldBy(ctx, f.ParticipantContextID, controlPlane, f.DataFlowID)
	switch {
	case problem.Is(err, problem.NotFound):
		return nil, problem.Wrap(problem.Forbidden, err, "there is no decision on the agreement, and the control plane does not serve it, so none can be made")
	case err != nil:
		return nil, problem.Wrap(problem.Unavailable, err, "there is no decision on the agreement, and the control plane did not tell it in time")
	}
	return a, nil
}

func (s *Service) creation(c Call, signal flowstore.Signal, m *dps.FlowMessage, role dps.Role, dir dps.Direction) (*flowstore.Transition, error) {
	meaning := *m
	meaning.MessageID = ""
	print, err := fingerprint(meaning)
	if err != nil {
		return nil, err
	}
	c.DataFlowID = m.ProcessID
	t := s.transition(c, signal, m.MessageID, print)
	t.New = &flowstore.Flow{
		Flow: gatewayapi.Flow{
			ParticipantContextID: c.ParticipantContextID, DataFlowID: m.ProcessID, Role: role, Direction: dir, Profile: m.Profile,
			ParticipantID: m.ParticipantID, CounterPartyID: m.CounterPartyID, DataspaceContext: m.DataspaceContext,
			AgreementID: m.AgreementID, DatasetID: m.DatasetID, Claims: m.Claims, Labels: m.Labels, Metadata: m.Metadata,
			Hook: c.profile(m.Profile).Hook,
		},
	}
	return t, nil
}

// direction refuses what this data plane does not advertise, and tells which way the data of what it does goes.
func (c Call) direction(m *dps.FlowMessage) (dps.Direction, error) {
	switch {
	case m.Profile == dps.ProfileHTTPPull:
		return dps.Pull, nil
	case m.Profile == dps.ProfileHTTPPush:
		return dps.Push, nil
	case c.profile(m.Profile).Hook != "":
		return dps.DirectionOf(m.Profile)
	}
	return "", problem.Field("profile", "is %q; this data plane offers %s", m.Profile, strings.Join(c.offers(), ", "))
}

// profile is the tenant's entry of a profile that a function serves; zero if none does.
func (c Call) profile(profile string) tenant.Profile {
	for _, p := range c.Profiles {
		if p.Profile == profile {
			return p
		}
	}
	return tenant.Profile{}
}

func (c Call) offers() []string {
	all := []string{dps.ProfileHTTPPull, dps.ProfileHTTPPush}
	for _, p := range c.Profiles {
		if !builtin(p.Profile) {
			all = append(all, p.Profile)
		}
	}
	return all
}

func grantOf(f *flowstore.Flow) Grant {
	return Grant{
		ParticipantContextID: f.ParticipantContextID, DataFlowID: f.DataFlowID, AgreementID: f.AgreementID, DatasetID: f.DatasetID,
		CounterPartyID: f.CounterPartyID, Profile: f.Profile, Direction: f.Direction,
	}
}
