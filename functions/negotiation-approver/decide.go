package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/tidegate/tidegate/eventing/catalogue"
	"github.com/tidegate/tidegate/functions/rules"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/management"
	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/tenant"
)

// byRules is who decided when no person did.
const byRules = "rules"

// subject is what a decision is about.
type subject struct {
	negotiationID  string
	agreementID    string
	datasetID      string
	counterPartyID string
	address        string
	claims         map[string]any // nil = not told yet
	offer          *rules.Offer   // nil = the offer is what the tenant's document says of the dataset
}

// decide returns the decision on a negotiation: the one that stands, or a new one by the rules. It returns nil if the dataset
// is none of the tenant's (then the tenant is the consumer, or the negotiation is about something else), and if the rules
// need claims that are not told yet and the tenant's mode can wait for them.
func (h *handler) decide(ctx context.Context, t *tenant.Tenant, cp controlPlane, s subject) (*gatewayapi.Decision, error) {
	pc := t.ParticipantContextID
	var standing gatewayapi.Decision
	_, err := h.gateway.Get(ctx, pc, gatewayapi.KindDecision, s.negotiationID, &standing)
	if err == nil {
		return &standing, nil
	}
	if !problem.Is(err, problem.NotFound) {
		return nil, err
	}
	d, needsClaims, err := h.evaluate(ctx, t, cp, s)
	if err != nil || d == nil {
		return nil, err
	}
	if needsClaims && t.Approve.Mode == "watch" {
		return nil, nil
	}
	d.ID = s.negotiationID
	_, err = h.gateway.Put(ctx, pc, gatewayapi.KindDecision, d.ID, d, gatewayapi.IfAbsent())
	if problem.Is(err, problem.Stale) { // somebody was faster
		_, err = h.gateway.Get(ctx, pc, gatewayapi.KindDecision, d.ID, d)
	}
	if err != nil {
		return nil, err
	}
	return d, nil
}

// evaluate makes a decision by the rules, and by a person's standing verdict where the rules leave it to one; nil if the
// dataset is none of the tenant's. It writes nothing.
func (h *handler) evaluate(ctx context.Context, t *tenant.Tenant, cp controlPlane, s subject) (d *gatewayapi.Decision, needsClaims bool, err error) {
	pc := t.ParticipantContextID
	var dataset gatewayapi.Dataset
	if _, err := h.gateway.Get(ctx, pc, gatewayapi.KindDataset, s.datasetID, &dataset); err != nil {
		if problem.Is(err, problem.NotFound) {
			return nil, false, nil
		}
		return nil, false, err
	}
	approval, err := h.approvals.of(t)
	if err != nil {
		return nil, false, err
	}
	in := rules.Input{
		CounterParty: rules.CounterParty{ID: s.counterPartyID, Address: s.address},
		Claims:       s.claims,
		Asset:        rules.Asset{ID: dataset.ID, Name: dataset.Key, ContentType: dataset.ContentType, Size: dataset.Size, Properties: map[string]any{}},
		Now:          h.now().UTC(),
	}
	switch asset, err := cp.GetAsset(ctx, s.datasetID); {
	case err == nil:
		in.Asset.Properties = asset.Properties
	case !problem.Is(err, problem.NotFound):
		return nil, false, err
	}
	if s.offer != nil {
		in.Offer = *s.offer
	} else {
		in.Offer = offered(t, dataset)
	}
	out := approval.Decide(in)
	d = &gatewayapi.Decision{
		NegotiationID: s.negotiationID, AgreementID: s.agreementID, DatasetID: s.datasetID, CounterPartyID: s.counterPartyID,
		Verdict: out.Verdict, Rule: out.Rule, Reason: out.Reason, By: byRules, Mode: t.Approve.Mode, DecidedAt: in.Now,
	}
	if d.Input, err = in.JSON(); err != nil {
		return nil, false, err
	}
	if dataset.Withdrawn {
		d.Verdict, d.Rule, d.Reason = gatewayapi.Rejected, rules.RuleDefault, "the dataset has been withdrawn"
		return d, false, nil
	}
	if d.Verdict == gatewayapi.Review {
		var person gatewayapi.Decision
		_, err := h.gateway.Get(ctx, pc, gatewayapi.KindDecision, standingID(s.counterPartyID, s.datasetID), &person)
		switch {
		case err == nil:
			d.Verdict, d.Rule, d.Reason, d.By = person.Verdict, person.Rule, person.Reason, person.By
			return d, false, nil
		case !problem.Is(err, problem.NotFound):
			return nil, false, err
		}
	}
	return d, out.NeedsClaims, nil
}

// bind writes the decision on an agreement: the negotiation's, or a new one now that the claims are told. nil if the dataset
// is none of the tenant's.
func (h *handler) bind(ctx context.Context, t *tenant.Tenant, cp controlPlane, n *management.Negotiation, claims map[string]any) (*gatewayapi.Decision, error) {
	s := subject{negotiationID: n.ID, datasetID: n.AssetID, counterPartyID: n.CounterPartyID, address: n.CounterPartyAddress, claims: claims}
	agreement, err := cp.NegotiationAgreement(ctx, n.ID)
	if err != nil {
		return nil, err
	}
	if s.claims == nil {
		s.claims = agreement.Claims
	}
	if s.claims == nil {
		s.claims = map[string]any{} // nothing will be told later than this
	}
	s.agreementID = agreement.ID
	offer := rules.NewOffer("", agreement.Policy)
	s.offer = &offer
	d, err := h.decide(ctx, t, cp, s)
	if err != nil || d == nil {
		return nil, err
	}
	bound := *d
	bound.ID, bound.AgreementID = gatewayapi.AgreementRecordID(agreement.ID), agreement.ID
	_, err = h.gateway.Put(ctx, t.ParticipantContextID, gatewayapi.KindDecision, bound.ID, &bound, gatewayapi.IfAbsent())
	if problem.Is(err, problem.Stale) { // it is bound already; a person may have decided since
		_, err = h.gateway.Get(ctx, t.ParticipantContextID, gatewayapi.KindDecision, bound.ID, &bound)
	}
	if err != nil {
		return nil, err
	}
	return &bound, nil
}

// offered is the offer that the tenant's document makes for a dataset: the control plane has checked that it is the one asked for.
func offered(t *tenant.Tenant, d gatewayapi.Dataset) rules.Offer {
	for _, r := range t.Publish {
		if r.Name != d.Rule {
			continue
		}
		if p, ok := t.Policy(r.Policy); ok {
			return rules.NewOffer("", p.Contract)
		}
	}
	return rules.NewOffer("", nil)
}

// standingID is the id of the record of a person's verdict on a counterparty and a dataset.
func standingID(counterPartyID, datasetID string) string {
	sum := sha256.Sum256([]byte(counterPartyID + "\n" + datasetID))
	return "standing:" + hex.EncodeToString(sum[:16])
}

// decided is the event that tells of a decision; told again, it has the same id.
func decided(pc string, d *gatewayapi.Decision) (*event.Event, error) {
	subject := d.NegotiationID
	if subject == "" {
		subject = d.AgreementID
	}
	return catalogue.New(name, pc, catalogue.NegotiationDecided, subject, catalogue.Decided{
		NegotiationID: d.NegotiationID, AgreementID: d.AgreementID, DatasetID: d.DatasetID, CounterPartyID: d.CounterPartyID,
		Verdict: string(d.Verdict), Rule: d.Rule, Reason: d.Reason, By: d.By,
	}, string(d.Verdict), d.Rule, d.By)
}
