package main

import (
	"context"

	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/eventing/catalogue"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/management"
	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/tenant"
)

// The bounds of one look at a tenant's negotiations. What an event has told is known already, so the newest ones tell soon
// that nothing was lost; a longer outage is made up for by the question that a provider start asks.
const (
	settledInARow = 20
	maxLooked     = 1000
)

// reconcile finds the negotiations whose events were lost: the control plane's events come at most once. One tenant's
// failure does not keep it from the others, and is no reason for the broker to try again: the next tick does.
func (h *handler) reconcile(ctx context.Context) {
	for _, t := range h.tenants.All() {
		if len(t.Publish) == 0 {
			continue
		}
		if err := h.reconcileTenant(ctx, t); err != nil {
			zerolog.Ctx(ctx).Warn().Err(err).Str("participant_context_id", t.ParticipantContextID).Msg("negotiations could not be reconciled")
		}
	}
}

func (h *handler) reconcileTenant(ctx context.Context, t *tenant.Tenant) error {
	cp, err := h.controlPlane(t)
	if err != nil {
		return err
	}
	settled, looked := 0, 0
	query := management.Query{
		Filter:    []management.Criterion{{OperandLeft: "type", Operator: "=", OperandRight: "PROVIDER"}},
		SortField: "createdAt", Desc: true,
	}
	for n, err := range cp.QueryNegotiations(ctx, query) {
		if err != nil {
			return err
		}
		known, err := h.settled(ctx, t, n)
		if err != nil {
			return err
		}
		if looked++; looked >= maxLooked {
			return nil
		}
		if known {
			if settled++; settled >= settledInARow {
				return nil
			}
			continue
		}
		settled = 0
		data := catalogue.Negotiation{NegotiationID: n.ID, CounterPartyID: n.CounterPartyID, DatasetID: n.AssetID, AgreementID: n.ContractAgreementID}
		tell := h.requested
		if n.ContractAgreementID != "" {
			tell = h.finalized
		}
		e, err := tell(ctx, t, data)
		if err != nil {
			return err
		}
		if e != nil {
			if err := h.publish(ctx, e); err != nil {
				return err
			}
		}
	}
	return nil
}

// settled tells whether there is nothing left to do about a negotiation.
func (h *handler) settled(ctx context.Context, t *tenant.Tenant, n *management.Negotiation) (bool, error) {
	id := n.ID
	if n.ContractAgreementID != "" {
		id = gatewayapi.AgreementRecordID(n.ContractAgreementID)
	} else if over(n.State) {
		return true, nil
	}
	var d gatewayapi.Decision
	_, err := h.gateway.Get(ctx, t.ParticipantContextID, gatewayapi.KindDecision, id, &d)
	if problem.Is(err, problem.NotFound) {
		return false, nil
	}
	return err == nil, err
}
