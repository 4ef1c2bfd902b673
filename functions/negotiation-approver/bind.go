package main

import (
	"context"

	"github.com/tidegate/tidegate/functions/rules"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/management"
	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/tenant"
)

// late is what the record of a rejected agreement says beside the reason.
const late = " (the contract had been concluded before it could be refused; no data will flow)"

// bind writes the decision on an agreement, by whose id a provider start asks: the negotiation's, or a new one now that the
// claims are told. claims may be empty: then the agreement's count. nil if the dataset is none of the tenant's.
func (h *handler) bind(ctx context.Context, t *tenant.Tenant, cp controlPlane, n *management.Negotiation, claims map[string]any) (*gatewayapi.Decision, error) {
	agreement, err := cp.NegotiationAgreement(ctx, n.ID)
	if problem.Is(err, problem.NotFound) {
		return nil, problem.Wrap(problem.Unavailable, err, "the agreement of negotiation %s is not there yet", n.ID)
	}
	if err != nil {
		return nil, err
	}
	if len(claims) == 0 {
		claims = agreement.Claims
	}
	if claims == nil {
		claims = map[string]any{} // nothing will be told later than this
	}
	offer := rules.NewOffer("", agreement.Policy)
	d, err := h.decide(ctx, t, cp, subject{
		negotiationID: n.ID, datasetID: n.AssetID, counterPartyID: n.CounterPartyID, address: n.CounterPartyAddress,
		claims: claims, offer: &offer,
	})
	if err != nil || d == nil {
		return nil, err
	}
	bound := *d
	bound.ID, bound.AgreementID = gatewayapi.AgreementRecordID(agreement.ID), agreement.ID
	if bound.Verdict == gatewayapi.Rejected {
		bound.Reason += late
	}
	stands, err := h.record(ctx, t.ParticipantContextID, &bound)
	if err != nil {
		return nil, err
	}
	return h.settle(ctx, t.ParticipantContextID, stands)
}
