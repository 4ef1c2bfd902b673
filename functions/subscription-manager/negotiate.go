package main

import (
	"context"
	"errors"
	"time"

	"github.com/tidegate/tidegate/eventing/catalogue"
	"github.com/tidegate/tidegate/functions/rules"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/management"
	"github.com/tidegate/tidegate/shared/problem"
)

// maxLooked bounds how many of the newest negotiations are looked through for one whose start was not noted.
const maxLooked = 200

// negotiate claims the record, starts a negotiation and notes its id. Between the two writes the record says "negotiating"
// without an id: whoever finds it so after claimTime looks for the negotiation before another is begun.
func (j *job) negotiate(ctx context.Context) (bool, error) {
	offer, err := j.offer()
	if err != nil {
		if problem.Is(err, problem.Unprocessable) {
			return false, j.fail(ctx, err.Error())
		}
		return false, err
	}
	j.record.State, j.record.NegotiationID = gatewayapi.SupplyNegotiating, ""
	j.record.ClaimedAt = j.now().UTC()
	j.record.NextAttempt = j.record.ClaimedAt.Add(claimTime)
	if err := j.save(ctx); err != nil {
		return false, err
	}
	id, err := j.cp.StartNegotiation(ctx, j.sub.CounterParty, offer)
	if err != nil {
		if k := problem.KindOf(err); !k.Temporary() { // refused for sure: no need to look for it
			return false, j.fail(ctx, "the negotiation was refused: "+err.Error())
		}
		// It may have been accepted all the same.
		j.record.NextAttempt = j.now().UTC().Add(searchTime)
		j.record.LastError = err.Error()
		return false, errors.Join(err, j.save(ctx))
	}
	return false, j.initiated(ctx, id)
}

// initiated notes the id of the negotiation and tells of it.
func (j *job) initiated(ctx context.Context, id string) error {
	j.record.NegotiationID = id
	if err := j.save(ctx); err != nil {
		return err
	}
	return j.tell(ctx, j.tenant, catalogue.NegotiationInitiated, id, catalogue.Negotiation{
		NegotiationID: id, CounterPartyID: j.sub.CounterParty.ID, CounterPartyAddress: j.sub.CounterParty.Address, DatasetID: j.record.DatasetID,
	})
}

// offer returns the first offer of the dataset that the subscription accepts.
func (j *job) offer() (*management.Offer, error) {
	selection, err := rules.CompileSelection(j.sub, j.index)
	if err != nil {
		return nil, err
	}
	offers := make([]rules.Offer, len(j.dataset.Offers))
	for i, o := range j.dataset.Offers {
		offers[i] = rules.NewOffer(o.ID, o.Policy)
	}
	i, err := selection.Select(assetOf(j.dataset.Dataset), offers, j.now())
	if err != nil {
		return nil, err
	}
	return &j.dataset.Offers[i], nil
}

// negotiating looks at what became of the negotiation.
func (j *job) negotiating(ctx context.Context) (bool, error) {
	if j.record.NegotiationID == "" {
		return j.recover(ctx)
	}
	n, err := j.cp.GetNegotiation(ctx, j.record.NegotiationID)
	if problem.Is(err, problem.NotFound) {
		return false, j.fail(ctx, "the control plane does not know the negotiation any more")
	}
	if err != nil {
		return false, err
	}
	switch {
	case n.State == "FINALIZED" && n.ContractAgreementID != "":
		j.record.State, j.record.AgreementID = gatewayapi.SupplyAgreed, n.ContractAgreementID
		return true, j.save(ctx)
	case n.State == "TERMINATED":
		reason := "the negotiation was terminated"
		if n.ErrorDetail != "" {
			reason += ": " + n.ErrorDetail
		}
		return false, j.fail(ctx, reason)
	case j.now().Sub(time.UnixMilli(n.CreatedAt)) > negotiationTime:
		return false, j.fail(ctx, "the negotiation did not end; its state is "+n.State)
	}
	return false, nil
}

// recover finds out what became of a negotiation whose start was not noted: it adopts the newest one about this dataset that
// began after the claim, or begins another.
func (j *job) recover(ctx context.Context) (bool, error) {
	if j.now().Before(j.record.NextAttempt) {
		return false, nil // whoever claimed it may be at it right now
	}
	looked := 0
	query := management.Query{
		Filter:    []management.Criterion{{OperandLeft: "counterPartyId", Operator: "=", OperandRight: j.sub.CounterParty.ID}},
		SortField: "createdAt", Desc: true,
	}
	for n, err := range j.cp.QueryNegotiations(ctx, query) {
		if err != nil {
			return false, err
		}
		// A second of slack: the clocks of the control plane and of the gateway's callers differ.
		if looked++; looked > maxLooked || time.UnixMilli(n.CreatedAt).Before(j.record.ClaimedAt.Add(-time.Second)) {
			break
		}
		if n.Type == "CONSUMER" && n.AssetID == j.record.DatasetID {
			return true, j.initiated(ctx, n.ID)
		}
	}
	if j.dataset != nil {
		return j.negotiate(ctx)
	}
	if j.now().Sub(j.record.ClaimedAt) > negotiationTime {
		return false, j.fail(ctx, "the negotiation could not be started, and the dataset is not offered any more")
	}
	return false, nil
}
