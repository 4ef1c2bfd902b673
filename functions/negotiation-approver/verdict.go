package main

import (
	"context"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/tidegate/tidegate/eventing/catalogue"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/tenant"
)

// rulePerson is the rule in a decision that a person made.
const rulePerson = "person"

// maxRaces bounds how often a record that somebody else keeps changing is read again.
const maxRaces = 5

// verdict carries out a person's verdict on a decision in review: the standing record for counterparty and dataset first, so
// that the next negotiation passes, then the decision itself, then its agreement's. Each is a conditional write, so the same
// event again changes nothing, and a crash in between is mended by its redelivery.
func (h *handler) verdict(ctx context.Context, t *tenant.Tenant, e *event.Event) (*event.Event, error) {
	v, err := catalogue.Data[catalogue.Verdict](e)
	if err != nil {
		return nil, err
	}
	verdict := gatewayapi.Verdict(v.Verdict)
	if verdict != gatewayapi.Approved && verdict != gatewayapi.Rejected {
		return nil, problem.Field("verdict", "is %q; approved or rejected is expected", v.Verdict)
	}
	apply := func(d *gatewayapi.Decision) {
		d.Verdict, d.Rule, d.Reason, d.By, d.DecidedAt = verdict, rulePerson, v.Reason, v.By, e.Time()
	}
	d, err := h.resolve(ctx, t, v.DecisionID, apply)
	if err != nil || d == nil {
		return nil, err
	}
	standing := *d
	standing.ID, standing.NegotiationID, standing.AgreementID, standing.Input = standingID(d.CounterPartyID, d.DatasetID), "", "", nil
	if _, err := h.gateway.Put(ctx, t.ParticipantContextID, gatewayapi.KindDecision, standing.ID, &standing, gatewayapi.Always()); err != nil {
		return nil, err
	}
	if err := h.concludeOpen(ctx, t, d, apply); err != nil {
		return nil, err
	}
	return decided(t.ParticipantContextID, d)
}

// resolve turns a decision from review into the verdict, and returns it; nil if it was decided otherwise before.
func (h *handler) resolve(ctx context.Context, t *tenant.Tenant, id string, apply func(*gatewayapi.Decision)) (*gatewayapi.Decision, error) {
	for range maxRaces {
		var d gatewayapi.Decision
		rev, err := h.gateway.Get(ctx, t.ParticipantContextID, gatewayapi.KindDecision, id, &d)
		if err != nil {
			return nil, err
		}
		want := d
		apply(&want)
		if d.Verdict != gatewayapi.Review {
			if d.Verdict == want.Verdict && d.By == want.By {
				return &d, nil // this very verdict, carried out before
			}
			return nil, nil
		}
		_, err = h.gateway.Put(ctx, t.ParticipantContextID, gatewayapi.KindDecision, id, &want, gatewayapi.IfRevision(rev))
		if problem.Is(err, problem.Stale) {
			continue
		}
		if err != nil {
			return nil, err
		}
		return &want, nil
	}
	return nil, problem.New(problem.Unavailable, "decision %s keeps being changed by others", id)
}

// concludeOpen carries a verdict over to the agreement of the negotiation, if there is one, and ends a negotiation that was
// rejected while it is open.
func (h *handler) concludeOpen(ctx context.Context, t *tenant.Tenant, d *gatewayapi.Decision, apply func(*gatewayapi.Decision)) error {
	if d.NegotiationID == "" {
		return nil
	}
	cp, err := h.controlPlane(t)
	if err != nil {
		return err
	}
	n, err := cp.GetNegotiation(ctx, d.NegotiationID)
	if problem.Is(err, problem.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if n.ContractAgreementID == "" {
		if d.Verdict == gatewayapi.Rejected {
			_, err = h.act(ctx, t, cp, d, n.State)
		}
		return err
	}
	if _, err := h.bind(ctx, t, cp, n, nil); err != nil {
		return err
	}
	_, err = h.resolve(ctx, t, gatewayapi.AgreementRecordID(n.ContractAgreementID), apply)
	return err
}
