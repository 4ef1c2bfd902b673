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
	return h.bound(ctx, t, *d, agreement.ID)
}

// bound writes a decision under an agreement's id, and returns the one that stands then.
func (h *handler) bound(ctx context.Context, t *tenant.Tenant, d gatewayapi.Decision, agreementID string) (*gatewayapi.Decision, error) {
	d.ID, d.AgreementID = gatewayapi.AgreementRecordID(agreementID), agreementID
	if d.Verdict == gatewayapi.Rejected {
		d.Reason += late
	}
	stands, err := h.record(ctx, t.ParticipantContextID, &d)
	if err != nil {
		return nil, err
	}
	return h.settle(ctx, t.ParticipantContextID, stands)
}

// elsewhere are the assets of a control plane that is not the one of the tenant's document: there is no API by which to ask for them.
type elsewhere struct{}

// GetAsset implements assets.
func (elsewhere) GetAsset(context.Context, string) (*management.Asset, error) {
	return nil, problem.New(problem.NotFound, "the asset is of a control plane without a Management API")
}

// bindTold writes the decision on an agreement that another control plane than the one of the tenant's document has told of, which is all that
// is known of it: its negotiation and the asset's properties are not. nil if the dataset is none of the tenant's.
func (h *handler) bindTold(ctx context.Context, t *tenant.Tenant, req *gatewayapi.DecideRequest) (*gatewayapi.Decision, error) {
	a, claims := req.Agreement, req.Claims
	stands, _, err := h.decision(ctx, t.ParticipantContextID, gatewayapi.AgreementRecordID(req.AgreementID))
	if err != nil {
		return nil, err
	}
	if stands != nil {
		return h.settle(ctx, t.ParticipantContextID, stands)
	}
	if claims == nil {
		claims = map[string]any{} // nothing will be told later than this
	}
	offer := rules.NewOffer("", a.Policy)
	d, _, err := h.evaluate(ctx, t, elsewhere{}, subject{datasetID: a.DatasetID, counterPartyID: a.ConsumerID, claims: claims, offer: &offer})
	if err != nil || d == nil {
		return nil, err
	}
	return h.bound(ctx, t, *d, req.AgreementID)
}
