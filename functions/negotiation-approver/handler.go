package main

import (
	"context"
	"iter"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/eventing/catalogue"
	"github.com/tidegate/tidegate/functions/controlplanes"
	"github.com/tidegate/tidegate/functions/rules"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/management"
	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/tenant"
)

// tenants finds the tenants in force; *tenant.Registry does.
type tenants interface {
	Expect(participantContextID string) (*tenant.Tenant, error)
	All() []*tenant.Tenant
}

// assets are what a control plane knows of datasets.
type assets interface {
	GetAsset(ctx context.Context, id string) (*management.Asset, error)
}

// controlPlane is what the approver needs of the Management API; *management.Client has it.
type controlPlane interface {
	assets
	GetNegotiation(ctx context.Context, id string) (*management.Negotiation, error)
	QueryNegotiations(ctx context.Context, q management.Query) iter.Seq2[*management.Negotiation, error]
	NegotiationAgreement(ctx context.Context, id string) (*management.Agreement, error)
	AgreementNegotiation(ctx context.Context, agreementID string) (*management.Negotiation, error)
	TerminateNegotiation(ctx context.Context, id, reason string) error
}

// handler decides on negotiations. A decision is a record that is written once, under the negotiation's id, by whoever comes
// first (If-None-Match: *), and copied once to its agreement's id; everybody else reads it. So:
//
//   - The same event twice, late, or at the same time as the veto: the record that stands is the answer, and the event that
//     tells of it has the same id.
//   - Out of order: "finalized" before "requested" decides at once, and "requested" then finds the decision.
//   - A crash between two calls: the next delivery reads what has been written and does the rest; terminating what is
//     terminated already, and binding what is bound, change nothing.
//   - A lost event: the schedule looks at the newest negotiations, and a provider start that finds no decision asks.
//
// Rules decide for themselves; a person decides only what the rules left to one (Review), and that verdict then holds for the
// counterparty and the dataset, not just for the negotiation at hand, which is over by then in veto mode.
type handler struct {
	tenants      tenants
	gateway      *gatewayapi.Client
	controlPlane func(*tenant.Tenant) (controlPlane, error)
	publish      func(context.Context, *event.Event) error
	approvals    *tenant.Derived[*rules.Approval]
	now          func() time.Time
	log          *zerolog.Logger // of the routes; an event brings its own
	deadline     time.Duration   // of a call of a route
}

// Handle handles negotiation.requested, negotiation.finalized, verdict.given and the schedule "reconcile".
func (h *handler) Handle(ctx context.Context, e *event.Event) (*event.Event, error) {
	reply, err := h.handle(ctx, e)
	return reply, controlplanes.Passing(err)
}

func (h *handler) handle(ctx context.Context, e *event.Event) (*event.Event, error) {
	if e.Type() == catalogue.Schedule {
		h.reconcile(ctx)
		return nil, nil
	}
	pc, err := catalogue.ParticipantContextID(e)
	if err != nil {
		return nil, err
	}
	t, err := h.tenants.Expect(pc)
	if err != nil {
		return nil, err
	}
	switch e.Type() {
	case catalogue.NegotiationRequested, catalogue.NegotiationFinalized:
		n, err := catalogue.Data[catalogue.Negotiation](e)
		if err != nil {
			return nil, err
		}
		return h.told(ctx, t, n.NegotiationID, e.Type() == catalogue.NegotiationFinalized)
	case catalogue.VerdictGiven:
		return h.verdict(ctx, t, e)
	}
	return nil, problem.New(problem.Unprocessable, "events of type %s are not for this function", e.Type())
}

// told decides on a negotiation that the control plane has told of. In veto mode the decision stands already, unless the
// control plane is not set up to ask.
func (h *handler) told(ctx context.Context, t *tenant.Tenant, id string, finalized bool) (*event.Event, error) {
	if id == "" {
		return nil, problem.Field("negotiationId", "is missing: the id of the negotiation is expected")
	}
	cp, err := h.controlPlane(t)
	if err != nil {
		return nil, err
	}
	n, err := cp.GetNegotiation(ctx, id)
	if problem.Is(err, problem.NotFound) {
		return nil, nil // it was refused by the veto, or removed: there is nothing to decide
	}
	if err != nil {
		return nil, err
	}
	if finalized && n.Type == provider && n.ContractAgreementID == "" && !over(n.State) {
		return nil, problem.New(problem.Unavailable, "the agreement of negotiation %s is not there yet", id)
	}
	return h.judge(ctx, t, cp, n)
}

// provider is the type of a negotiation in which the tenant is the one who decides.
const provider = "PROVIDER"

// judge decides on a negotiation as it is now, carries the decision out, and returns the event that tells of it; nil if there is
// nothing to decide, or not yet.
func (h *handler) judge(ctx context.Context, t *tenant.Tenant, cp controlPlane, n *management.Negotiation) (*event.Event, error) {
	if n.Type != provider {
		return nil, nil
	}
	if n.ContractAgreementID != "" {
		d, err := h.bind(ctx, t, cp, n, nil)
		if err != nil || d == nil {
			return nil, err
		}
		return decided(t.ParticipantContextID, d)
	}
	if over(n.State) { // without an agreement: there is nothing to decide, at most to tell again of what was
		d, _, err := h.decision(ctx, t.ParticipantContextID, n.ID)
		if err != nil || d == nil {
			return nil, err
		}
		return decided(t.ParticipantContextID, d)
	}
	d, err := h.decide(ctx, t, cp, subject{
		negotiationID: n.ID, datasetID: n.AssetID, counterPartyID: n.CounterPartyID, address: n.CounterPartyAddress,
	})
	if err != nil || d == nil {
		return nil, err
	}
	if d.Verdict == gatewayapi.Rejected {
		if err := terminate(ctx, cp, d); err != nil {
			return nil, err
		}
	}
	return decided(t.ParticipantContextID, d)
}

// terminate ends a negotiation that was rejected. It may come too late: then the contract is concluded, the agreement's record
// will say so, and no byte flows in any case.
func terminate(ctx context.Context, cp controlPlane, d *gatewayapi.Decision) error {
	err := cp.TerminateNegotiation(ctx, d.NegotiationID, d.Reason)
	switch {
	case problem.Is(err, problem.NotFound):
		return nil
	case problem.Is(err, problem.Conflict), problem.Is(err, problem.Upstream):
		// EDC answers 409 while one of its own steps holds the negotiation, and 500 for one that was concluded meanwhile:
		// only its state tells whether there is anything left to end.
		n, gerr := cp.GetNegotiation(ctx, d.NegotiationID)
		if problem.Is(gerr, problem.NotFound) || (gerr == nil && over(n.State)) {
			return nil
		}
		return problem.Wrap(problem.Unavailable, err, "negotiation %s could not be terminated", d.NegotiationID)
	}
	return err
}

// over tells whether a negotiation's state is one that nothing can be done about any more. EDC-V leaves what was terminated
// by command in TERMINATING.
func over(state string) bool {
	return state == "FINALIZED" || state == "TERMINATED" || state == "TERMINATING"
}

var _ controlPlane = (*management.Client)(nil)
