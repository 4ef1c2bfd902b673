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

// The bounds of a search for a negotiation whose start was not noted.
const (
	maxLooked  = 5000 // of the newest negotiations with the counterparty
	searchPage = 250
	clockSlack = 30 * time.Second // by which the control plane's clock may be behind ours
)

// negotiate claims the record, starts a negotiation and notes its id. Between the two writes the record says "negotiating"
// without an id: whoever finds it so after NextAttempt looks for the negotiation before another is begun.
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
	bounded, cancel := context.WithTimeout(ctx, startTime)
	id, err := j.cp.StartNegotiation(bounded, j.sub.CounterParty, offer)
	cancel()
	kind := problem.KindOf(err)
	if err != nil && !kind.Temporary() { // refused for sure: no need to look for it
		return false, j.fail(ctx, "the negotiation was refused: "+err.Error())
	}
	if err == nil {
		err = j.initiated(ctx, id)
	}
	if id != "" && problem.Is(err, problem.Stale) {
		return false, j.adopt(ctx, id)
	}
	if err == nil || problem.Is(err, problem.Stale) {
		return false, err
	}
	// It may have been accepted all the same, or it was and is not noted. A request that timed out may even be taken later than
	// now, so that one gets a minute.
	j.record.NegotiationID = ""
	j.record.NextAttempt = j.now().UTC().Add(searchTime)
	if kind == problem.Timeout || errors.Is(context.Cause(bounded), context.DeadlineExceeded) {
		j.record.NextAttempt = j.now().UTC().Add(lateTime)
	}
	j.record.LastError = err.Error()[:min(len(err.Error()), maxReason)]
	return false, errors.Join(err, j.save(ctx))
}

// initiated tells of a negotiation and notes its id.
func (j *job) initiated(ctx context.Context, id string) error {
	if err := j.tell(ctx, j.tenant, catalogue.NegotiationInitiated, id, catalogue.Negotiation{
		NegotiationID: id, CounterPartyID: j.sub.CounterParty.ID, CounterPartyAddress: j.sub.CounterParty.Address, DatasetID: j.record.DatasetID,
	}); err != nil {
		return err
	}
	j.record.NegotiationID = id
	return j.save(ctx)
}

// adopt notes the id of a negotiation whose claim is not there any more as it was written. Nobody but this invocation knows the
// id: reading the record again and going on from there would begin a second negotiation where the record is gone, as after the
// loss of the gateway's Redis.
func (j *job) adopt(ctx context.Context, id string) error {
	var now gatewayapi.Supply
	rev, err := j.gateway.Get(ctx, j.tenant.ParticipantContextID, gatewayapi.KindSupply, j.record.ID, &now)
	switch {
	case problem.Is(err, problem.NotFound):
		j.rev = ""
	case err != nil:
		return err
	case now.State == gatewayapi.SupplyNegotiating && now.NegotiationID == "":
		j.rev, j.record = rev, now
	default: // somebody else has gone on with the dataset
		return nil
	}
	j.record.NegotiationID = id
	return j.save(ctx)
}

// offer returns the first offer of the dataset that the subscription accepts.
func (j *job) offer() (*management.Offer, error) {
	selections, err := j.selections.Of(j.tenant)
	if err != nil {
		return nil, err
	}
	offers := make([]rules.Offer, len(j.dataset.Offers))
	for i, o := range j.dataset.Offers {
		offers[i] = rules.NewOffer(o.ID, o.Policy)
	}
	i, err := selections[j.index].Select(assetOf(j.dataset.Dataset), offers, j.now())
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
	case ended(n):
		reason := "the negotiation was terminated"
		if n.ErrorDetail != "" {
			reason += ": " + n.ErrorDetail
		}
		return false, j.fail(ctx, reason)
	case j.now().Sub(j.record.ClaimedAt) > negotiationTime:
		return false, j.giveUpNegotiation(ctx, n)
	}
	return false, nil
}

// ended tells whether a negotiation came to nothing. EDC-V leaves what was terminated by command in TERMINATING.
func ended(n *management.Negotiation) bool {
	return n.State == "TERMINATED" || n.State == "TERMINATING"
}

// giveUpNegotiation terminates a negotiation that does not end, so that it can't be concluded beside the next one.
func (j *job) giveUpNegotiation(ctx context.Context, n *management.Negotiation) error {
	err := j.cp.TerminateNegotiation(ctx, n.ID, "it did not end in time")
	if err != nil && !problem.Is(err, problem.NotFound) { // it may have been concluded just now: the next look tells
		return problem.Wrap(problem.Unavailable, err, "negotiation %s does not end and could not be terminated", n.ID)
	}
	return j.fail(ctx, "the negotiation did not end; its state was "+n.State)
}

// recover finds out what became of a negotiation whose start was not noted: it adopts the newest one about this dataset that
// began after the claim, or begins another.
func (j *job) recover(ctx context.Context) (bool, error) {
	if j.now().Before(j.record.NextAttempt) {
		return false, nil // whoever claimed it may be at it right now
	}
	id, err := j.search(ctx)
	switch {
	case err != nil:
		return false, err
	case id != "":
		return true, j.initiated(ctx, id)
	case j.dataset != nil:
		return j.negotiate(ctx)
	case j.now().Sub(j.record.ClaimedAt) > negotiationTime:
		return false, j.fail(ctx, "the negotiation could not be started, and the dataset is not offered any more")
	}
	return false, nil
}

// search looks for the newest negotiation about the dataset that began after the claim; "" if there is none.
func (j *job) search(ctx context.Context) (string, error) {
	query := management.Query{
		Filter:    []management.Criterion{{OperandLeft: "counterPartyId", Operator: "=", OperandRight: j.sub.CounterParty.ID}},
		SortField: "createdAt", Desc: true, PageSize: searchPage,
	}
	looked := 0
	for n, err := range j.cp.QueryNegotiations(ctx, query) {
		if err != nil {
			return "", err
		}
		began := time.UnixMilli(n.CreatedAt)
		if looked++; looked > maxLooked || began.Before(j.record.ClaimedAt.Add(-clockSlack)) {
			return "", nil
		}
		// One that came to nothing before the claim was another try.
		if n.Type == "CONSUMER" && n.AssetID == j.record.DatasetID && (!ended(n) || !began.Before(j.record.ClaimedAt.Truncate(time.Millisecond))) {
			return n.ID, nil
		}
	}
	return "", nil
}
