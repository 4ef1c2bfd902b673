package main

import (
	"context"
	"iter"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/tidegate/tidegate/eventing/catalogue"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/management"
	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/tenant"
)

// tenants finds the tenants in force; *tenant.Registry does.
type tenants interface {
	Get(participantContextID string) (*tenant.Tenant, bool)
	All() []*tenant.Tenant
}

// controlPlane is what the approver needs of the Management API; *management.Client has it.
type controlPlane interface {
	GetAsset(ctx context.Context, id string) (*management.Asset, error)
	GetNegotiation(ctx context.Context, id string) (*management.Negotiation, error)
	QueryNegotiations(ctx context.Context, q management.Query) iter.Seq2[*management.Negotiation, error]
	NegotiationAgreement(ctx context.Context, id string) (*management.Agreement, error)
	AgreementNegotiation(ctx context.Context, agreementID string) (*management.Negotiation, error)
	TerminateNegotiation(ctx context.Context, id, reason string) error
}

// handler decides on negotiations. A decision is a record that is written once, under the negotiation's id, by whoever comes
// first (If-None-Match: *); everybody else reads it. So:
//
//   - The same event twice, late, or at the same time as the veto: the record that stands is the answer.
//   - Out of order: "finalized" before "requested" decides at once, and "requested" then finds the decision.
//   - A lost event: the schedule looks at the newest negotiations, and a provider start that finds no decision asks.
//
// Rules decide for themselves; a person decides only what the rules left to one (Review), and that verdict then holds for the
// counterparty and the dataset, not just for the negotiation at hand, which is over by then in veto mode.
type handler struct {
	tenants      tenants
	gateway      *gatewayapi.Client
	controlPlane func(*tenant.Tenant) (controlPlane, error)
	publish      func(context.Context, *event.Event) error
	approvals    *approvals
	now          func() time.Time
}

// Handle handles negotiation.requested, negotiation.finalized, verdict.given and the schedule "reconcile".
func (h *handler) Handle(ctx context.Context, e *event.Event) (*event.Event, error) {
	if e.Type() == catalogue.Schedule {
		h.reconcile(ctx)
		return nil, nil
	}
	pc, err := catalogue.ParticipantContextID(e)
	if err != nil {
		return nil, err
	}
	t, ok := h.tenants.Get(pc)
	if !ok {
		return nil, problem.New(problem.NotFound, "no such participant context")
	}
	switch e.Type() {
	case catalogue.NegotiationRequested:
		n, err := catalogue.Data[catalogue.Negotiation](e)
		if err != nil {
			return nil, err
		}
		return h.requested(ctx, t, n)
	case catalogue.NegotiationFinalized:
		n, err := catalogue.Data[catalogue.Negotiation](e)
		if err != nil {
			return nil, err
		}
		return h.finalized(ctx, t, n)
	case catalogue.VerdictGiven:
		return h.verdict(ctx, t, e)
	}
	return nil, problem.New(problem.Unprocessable, "events of type %s are not for this function", e.Type())
}

// requested decides on a negotiation that the control plane has told of. In veto mode the decision stands already, unless the
// control plane is not set up to ask.
func (h *handler) requested(ctx context.Context, t *tenant.Tenant, n catalogue.Negotiation) (*event.Event, error) {
	if n.NegotiationID == "" {
		return nil, problem.Field("negotiationId", "is missing: the id of the negotiation is expected")
	}
	cp, err := h.controlPlane(t)
	if err != nil {
		return nil, err
	}
	found, err := cp.GetNegotiation(ctx, n.NegotiationID)
	if problem.Is(err, problem.NotFound) {
		return nil, nil // it was refused by the veto, or removed: there is nothing to decide
	}
	if err != nil {
		return nil, err
	}
	if found.Type != "PROVIDER" {
		return nil, nil
	}
	d, err := h.decide(ctx, t, cp, subject{
		negotiationID: n.NegotiationID, datasetID: found.AssetID, counterPartyID: found.CounterPartyID, address: found.CounterPartyAddress,
	})
	if err != nil || d == nil {
		return nil, err
	}
	return h.act(ctx, t, cp, d, found.State)
}

// act carries out a decision on a negotiation that is under way: what is not approved is terminated. It may come late: the
// record says so, and no byte flows in any case.
func (h *handler) act(ctx context.Context, t *tenant.Tenant, cp controlPlane, d *gatewayapi.Decision, state string) (*event.Event, error) {
	if d.Verdict == gatewayapi.Rejected && !over(state) {
		err := cp.TerminateNegotiation(ctx, d.NegotiationID, d.Reason)
		switch {
		case err == nil, problem.Is(err, problem.NotFound), problem.Is(err, problem.Conflict):
		case problem.Is(err, problem.Upstream): // EDC answers 500 for one that is finalized meanwhile
			d.Reason += " (the contract was concluded before it could be refused; no data will flow)"
		default:
			return nil, err
		}
	}
	return decided(t.ParticipantContextID, d)
}

// finalized binds the decision of a negotiation to its agreement, by whose id a provider start asks.
func (h *handler) finalized(ctx context.Context, t *tenant.Tenant, n catalogue.Negotiation) (*event.Event, error) {
	if n.NegotiationID == "" {
		return nil, problem.Field("negotiationId", "is missing: the id of the negotiation is expected")
	}
	cp, err := h.controlPlane(t)
	if err != nil {
		return nil, err
	}
	found, err := cp.GetNegotiation(ctx, n.NegotiationID)
	if problem.Is(err, problem.NotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if found.Type != "PROVIDER" {
		return nil, nil
	}
	d, err := h.bind(ctx, t, cp, found, nil)
	if err != nil || d == nil {
		return nil, err
	}
	return decided(t.ParticipantContextID, d)
}

// over tells whether a negotiation's state is one that nothing can be done about any more.
func over(state string) bool {
	return state == "FINALIZED" || state == "TERMINATED" || state == "TERMINATING"
}
