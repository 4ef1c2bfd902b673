package main

import (
	"context"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/eventing/catalogue"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/tenant"
)

// rulePerson is the rule in a decision that a person made.
const rulePerson = "person"

// maxRaces bounds how often a record that somebody else keeps changing is read again.
const maxRaces = 5

// verdict carries out a person's verdict on a decision in review: on that decision first, then as the standing verdict on
// counterparty and dataset, so that the next negotiation passes, then on the negotiation and the agreement that the decision
// belongs to. Each is a conditional write, so the same event again changes nothing, and a crash in between is mended by its
// redelivery. A verdict on what was decided otherwise meanwhile is without effect; of two standing verdicts the one that was
// given later holds, in whatever order they arrive.
func (h *handler) verdict(ctx context.Context, t *tenant.Tenant, e *event.Event) (*event.Event, error) {
	v, err := catalogue.Data[catalogue.Verdict](e)
	if err != nil {
		return nil, err
	}
	person := gatewayapi.Decision{Verdict: gatewayapi.Verdict(v.Verdict), Rule: rulePerson, Reason: cut(v.Reason), By: v.By, DecidedAt: e.Time()}
	switch {
	case v.DecisionID == "":
		return nil, problem.Field("decisionId", "is missing: the id of the decision is expected")
	case person.Verdict != gatewayapi.Approved && person.Verdict != gatewayapi.Rejected:
		return nil, problem.Field("verdict", "is %q; approved or rejected is expected", v.Verdict)
	case person.By == "":
		return nil, problem.Field("by", "is missing: the name of the person who decided is expected")
	case person.DecidedAt.IsZero():
		person.DecidedAt = h.now().UTC()
	}
	pc := t.ParticipantContextID
	d, err := h.resolve(ctx, pc, v.DecisionID, &person)
	if err != nil {
		return nil, err
	}
	if d.Verdict != person.Verdict || d.Rule != rulePerson || d.By != person.By {
		zerolog.Ctx(ctx).Info().Str("decision_id", d.ID).Str("stands", string(d.Verdict)).Str("by", d.By).
			Msg("the verdict is without effect: it was decided before")
		return nil, nil
	}
	standing := *d
	standing.ID, standing.NegotiationID, standing.AgreementID, standing.Input = standingID(d.CounterPartyID, d.DatasetID), "", "", nil
	standing.Reason = person.Reason // without what the record of an agreement adds
	if err := h.remember(ctx, pc, &standing); err != nil {
		return nil, err
	}
	if err := h.carryOver(ctx, t, d); err != nil {
		return nil, err
	}
	return decided(pc, d)
}

// resolve turns a decision from review into a person's verdict, and returns the decision that stands then: that one, or what
// was decided before. NotFound if there is no such decision.
func (h *handler) resolve(ctx context.Context, pc, id string, person *gatewayapi.Decision) (*gatewayapi.Decision, error) {
	for range maxRaces {
		d, rev, err := h.decision(ctx, pc, id)
		switch {
		case err != nil:
			return nil, err
		case d == nil:
			return nil, problem.New(problem.NotFound, "there is no decision %s", id)
		case d.Verdict != gatewayapi.Review:
			return d, nil
		}
		decideAs(d, person)
		if d.Verdict == gatewayapi.Rejected && d.AgreementID != "" {
			d.Reason += late
		}
		_, err = h.gateway.Put(ctx, pc, gatewayapi.KindDecision, id, d, gatewayapi.IfRevision(rev))
		if !problem.Is(err, problem.Stale) {
			return d, err
		}
	}
	return nil, problem.New(problem.Unavailable, "decision %s keeps being changed by others", id)
}

// remember makes a verdict the standing one on its counterparty and dataset, unless a later one stands.
func (h *handler) remember(ctx context.Context, pc string, standing *gatewayapi.Decision) error {
	for range maxRaces {
		old, rev, err := h.decision(ctx, pc, standing.ID)
		if err != nil {
			return err
		}
		cond := gatewayapi.IfAbsent()
		if old != nil {
			if !old.DecidedAt.Before(standing.DecidedAt) {
				return nil
			}
			cond = gatewayapi.IfRevision(rev)
		}
		_, err = h.gateway.Put(ctx, pc, gatewayapi.KindDecision, standing.ID, standing, cond)
		if !problem.Is(err, problem.Stale) {
			return err
		}
	}
	return problem.New(problem.Unavailable, "the standing verdict %s keeps being changed by others", standing.ID)
}

// settle resolves a decision in review by the standing verdict, if there is one.
func (h *handler) settle(ctx context.Context, pc string, d *gatewayapi.Decision) (*gatewayapi.Decision, error) {
	if d.Verdict != gatewayapi.Review {
		return d, nil
	}
	person, _, err := h.decision(ctx, pc, standingID(d.CounterPartyID, d.DatasetID))
	if err != nil || person == nil {
		return d, err
	}
	return h.resolve(ctx, pc, d.ID, person)
}

// carryOver takes a verdict to the negotiation and the agreement of its decision, and ends a negotiation that was rejected
// while it is open.
func (h *handler) carryOver(ctx context.Context, t *tenant.Tenant, d *gatewayapi.Decision) error {
	if d.NegotiationID == "" {
		return nil
	}
	if d.ID != d.NegotiationID { // the verdict was given on the agreement's record
		other, _, err := h.decision(ctx, t.ParticipantContextID, d.NegotiationID)
		if err == nil && other != nil {
			_, err = h.settle(ctx, t.ParticipantContextID, other)
		}
		if err != nil {
			return err
		}
	}
	cp, err := h.controlPlane(t)
	if err != nil {
		return err
	}
	n, err := cp.GetNegotiation(ctx, d.NegotiationID)
	switch {
	case problem.Is(err, problem.NotFound):
		return nil
	case err != nil:
		return err
	case n.ContractAgreementID != "":
		_, err = h.bind(ctx, t, cp, n, nil)
		return err
	case d.Verdict == gatewayapi.Rejected && !over(n.State):
		return terminate(ctx, cp, d)
	}
	return nil
}

// decideAs makes a decision a person's: who, what, why and when.
func decideAs(d, person *gatewayapi.Decision) {
	d.Verdict, d.Rule, d.Reason, d.By, d.DecidedAt = person.Verdict, person.Rule, person.Reason, person.By, person.DecidedAt
}
