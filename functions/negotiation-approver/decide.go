package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/tidegate/tidegate/eventing/catalogue"
	"github.com/tidegate/tidegate/functions/rules"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/tenant"
)

// byRules is who decided when no person did.
const byRules = "rules"

// The bounds of what goes into a record from outside: an offer or a claim that is too long must not keep a decision from
// being written.
const (
	maxReason = 2000     // bytes
	maxInput  = 64 << 10 // bytes of what the rules saw; more than that is left out
)

// subject is what a decision is about.
type subject struct {
	negotiationID  string
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
	stands, _, err := h.decision(ctx, pc, s.negotiationID)
	if err != nil {
		return nil, err
	}
	if stands != nil {
		return h.settle(ctx, pc, stands)
	}
	d, needsClaims, err := h.evaluate(ctx, t, cp, s)
	if err != nil || d == nil || (needsClaims && t.Approve.Mode == "watch") {
		return nil, err
	}
	d.ID = s.negotiationID
	return h.record(ctx, pc, d)
}

// decision reads a decision and its revision; nil if there is none.
func (h *handler) decision(ctx context.Context, pc, id string) (*gatewayapi.Decision, string, error) {
	var d gatewayapi.Decision
	rev, err := h.gateway.Get(ctx, pc, gatewayapi.KindDecision, id, &d)
	switch {
	case problem.Is(err, problem.NotFound):
		return nil, "", nil
	case err != nil:
		return nil, "", err
	}
	return &d, rev, nil
}

// record writes a decision, unless there is one, and returns the one that stands then.
func (h *handler) record(ctx context.Context, pc string, d *gatewayapi.Decision) (*gatewayapi.Decision, error) {
	_, err := h.gateway.Put(ctx, pc, gatewayapi.KindDecision, d.ID, d, gatewayapi.IfAbsent())
	if err == nil {
		return d, nil
	}
	if !problem.Is(err, problem.Stale) {
		return nil, err
	}
	stands, _, err := h.decision(ctx, pc, d.ID) // somebody was faster
	if err == nil && stands == nil {
		err = problem.New(problem.Unavailable, "decision %s was removed while it was read", d.ID)
	}
	return stands, err
}

// evaluate makes a decision by the rules, and by a person's standing verdict where the rules leave it to one; nil if the
// dataset is none of the tenant's. It writes nothing.
func (h *handler) evaluate(ctx context.Context, t *tenant.Tenant, cp assets, s subject) (d *gatewayapi.Decision, needsClaims bool, err error) {
	pc := t.ParticipantContextID
	dataset, err := h.dataset(ctx, t, cp, s.datasetID)
	if err != nil || dataset == nil {
		return nil, false, err
	}
	in, err := h.input(ctx, t, cp, s, *dataset)
	if err != nil {
		return nil, false, err
	}
	approval, err := h.approvals.Of(t)
	if err != nil {
		return nil, false, err
	}
	out := approval.Decide(*in)
	d = &gatewayapi.Decision{
		NegotiationID: s.negotiationID, DatasetID: s.datasetID, CounterPartyID: s.counterPartyID,
		Verdict: out.Verdict, Rule: out.Rule, Reason: cut(out.Reason), By: byRules, Mode: t.Approve.Mode, DecidedAt: in.Now,
	}
	if d.Input, err = kept(in); err != nil {
		return nil, false, err
	}
	if dataset.Withdrawn {
		d.Verdict, d.Rule, d.Reason = gatewayapi.Rejected, rules.RuleDefault, "the dataset has been withdrawn"
		return d, false, nil
	}
	if d.Verdict != gatewayapi.Review {
		return d, false, nil
	}
	person, _, err := h.decision(ctx, pc, standingID(s.counterPartyID, s.datasetID))
	if err != nil {
		return nil, false, err
	}
	if person != nil {
		decideAs(d, person)
		return d, false, nil
	}
	return d, out.NeedsClaims, nil
}

// input collects what the rules see.
func (h *handler) input(ctx context.Context, t *tenant.Tenant, cp assets, s subject, dataset gatewayapi.Dataset) (*rules.Input, error) {
	in := &rules.Input{
		CounterParty: rules.CounterParty{ID: s.counterPartyID, Address: s.address},
		Claims:       s.claims,
		Asset:        rules.Asset{ID: dataset.ID, Name: dataset.Key, ContentType: dataset.ContentType, Size: dataset.Size, Properties: map[string]any{}},
		Now:          h.now().UTC(),
	}
	switch asset, err := cp.GetAsset(ctx, s.datasetID); {
	case err == nil:
		in.Asset.Properties = asset.Properties
	case !problem.Is(err, problem.NotFound):
		return nil, err
	}
	if s.offer != nil {
		in.Offer = *s.offer
	} else {
		in.Offer = offered(t, dataset)
	}
	return in, nil
}

// kept is the input as the record keeps it.
func kept(in *rules.Input) (json.RawMessage, error) {
	b, err := in.JSON()
	if err == nil && len(b) > maxInput {
		b = json.RawMessage(fmt.Sprintf(`{"omitted":"%d bytes"}`, len(b)))
	}
	return b, err
}

// cut bounds a reason, without breaking a character.
func cut(reason string) string {
	return strings.ToValidUTF8(reason[:min(len(reason), maxReason)], "")
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
	}, d.AgreementID, string(d.Verdict), d.Rule, d.By)
}

// compile makes a tenant's rules what negotiations are judged by.
func compile(t *tenant.Tenant) (*rules.Approval, error) { return rules.CompileApproval(t.Approve) }
