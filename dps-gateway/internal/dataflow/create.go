package dataflow

import (
	"context"

	"github.com/tidegate/tidegate/dps-gateway/internal/flowstore"
	"github.com/tidegate/tidegate/eventing/catalogue"
	"github.com/tidegate/tidegate/shared/dps"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/problem"
)

// Prepare makes a consumer's flow (DataFlowPrepareMessage). Only pull is offered, so the flow waits PREPARED for the
// provider's address.
func (s *Service) Prepare(ctx context.Context, c Call, m *dps.FlowMessage) (Answer, error) {
	if err := pullOnly(m); err != nil {
		return nil, err
	}
	t, err := s.creation(c, flowstore.Prepare, m, dps.Consumer)
	if err != nil {
		return nil, err
	}
	t.To = dps.Prepared
	t.Effects = []flowstore.Effect{event(catalogue.DataFlowPrepared)}
	if t.Answer, err = statusAnswer(m.ProcessID, dps.Prepared, nil); err != nil {
		return nil, err
	}
	r, err := s.store.Apply(ctx, t)
	if err != nil {
		return nil, err
	}
	return r.Answer, refusal(r, t.Signal, t.DataFlowID)
}

// Start makes a provider's flow (DataFlowStartMessage), if the dataset is there and its agreement has an approving decision.
// If there is no decision yet, it asks for one and waits for a bounded time.
func (s *Service) Start(ctx context.Context, c Call, m *dps.FlowMessage) (Answer, error) {
	if err := pullOnly(m); err != nil {
		return nil, err
	}
	t, err := s.creation(c, flowstore.Start, m, dps.Provider)
	if err != nil {
		return nil, err
	}
	addr, tokenID, err := s.issuer.Issue(ctx, grantOf(t.New))
	if err != nil {
		return nil, err
	}
	t.To, t.TokenID = dps.Started, tokenID
	t.Decided = &flowstore.Decided{AgreementID: m.AgreementID, DatasetID: m.DatasetID}
	t.Effects = []flowstore.Effect{event(catalogue.DataFlowStarted)}
	if t.Answer, err = statusAnswer(m.ProcessID, dps.Started, addr); err != nil {
		return nil, err
	}
	r, err := s.store.Apply(ctx, t)
	if err != nil {
		return nil, err
	}
	if r.Outcome == flowstore.Undecided {
		if err := s.decide(ctx, c, m); err != nil {
			return nil, err
		}
		t.Now = s.opts.Now()
		if r, err = s.store.Apply(ctx, t); err != nil {
			return nil, err
		}
	}
	return r.Answer, refusal(r, t.Signal, t.DataFlowID)
}

// decide has the missing decision made. What it was is read from the record, by the transition that follows.
func (s *Service) decide(ctx context.Context, c Call, m *dps.FlowMessage) error {
	ctx, cancel := context.WithTimeout(ctx, s.opts.DecideTimeout)
	defer cancel()
	d, err := s.decider.Decide(ctx, gatewayapi.DecideRequest{
		ParticipantContextID: c.ParticipantContextID, AgreementID: m.AgreementID, DatasetID: m.DatasetID,
		CounterPartyID: m.CounterPartyID, Claims: m.Claims,
	})
	if err != nil {
		return problem.Wrap(problem.Unavailable, err, "there is no decision on the agreement, and none could be had in time")
	}
	switch d.Verdict {
	case gatewayapi.Approved:
		return nil
	case gatewayapi.Rejected:
		return refusal(flowstore.Result{Outcome: flowstore.Rejected, Reason: d.Reason}, flowstore.Start, m.ProcessID)
	case gatewayapi.Review:
		return refusal(flowstore.Result{Outcome: flowstore.InReview, Reason: d.Reason}, flowstore.Start, m.ProcessID)
	}
	return problem.New(problem.Forbidden, "there is no decision on the agreement")
}

func (s *Service) creation(c Call, signal flowstore.Signal, m *dps.FlowMessage, role dps.Role) (*flowstore.Transition, error) {
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
			ParticipantContextID: c.ParticipantContextID, DataFlowID: m.ProcessID, Role: role, Direction: dps.Pull, Profile: m.Profile,
			ParticipantID: m.ParticipantID, CounterPartyID: m.CounterPartyID, DataspaceContext: m.DataspaceContext,
			AgreementID: m.AgreementID, DatasetID: m.DatasetID, Claims: m.Claims, Labels: m.Labels, Metadata: m.Metadata,
		},
		CallbackAddress: m.CallbackAddress,
	}
	return t, nil
}

// pullOnly refuses what this data plane does not advertise.
func pullOnly(m *dps.FlowMessage) error {
	if m.Profile != dps.ProfileHTTPPull {
		return problem.Field("profile", "is %q; this data plane offers %s", m.Profile, dps.ProfileHTTPPull)
	}
	if m.DataAddress != nil {
		return problem.Field("dataAddress", "must be absent: on pull the provider's data plane supplies the address")
	}
	return nil
}

func grantOf(f *flowstore.Flow) Grant {
	return Grant{
		ParticipantContextID: f.ParticipantContextID, DataFlowID: f.DataFlowID, AgreementID: f.AgreementID, DatasetID: f.DatasetID,
		CounterPartyID: f.CounterPartyID, Profile: f.Profile,
	}
}
