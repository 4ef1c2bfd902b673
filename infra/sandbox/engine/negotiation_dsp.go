package engine

import (
	"context"
	"errors"

	"github.com/google/uuid"

	"github.com/tidegate/tidegate/infra/sandbox/events"
	"github.com/tidegate/tidegate/infra/sandbox/model"
	"github.com/tidegate/tidegate/infra/sandbox/policy"
	"github.com/tidegate/tidegate/infra/sandbox/query"
	"github.com/tidegate/tidegate/infra/sandbox/store"
)

// receiveRequest is the provider's end of a ContractRequestMessage: the offer is checked against the contract definition, the
// policies are evaluated, a row is stored, the blocking callbacks are asked. A refused request leaves nothing; one that a
// callback refused leaves its row in REQUESTED for ever, and the next attempt makes another, as in EDC. A request that was
// accepted before is answered as then; one whose callbacks were cut off by a kill asks them again about the same row.
func (e *Engine) receiveRequest(ctx context.Context, c *model.Negotiation) (providerID string, derr *dspError) {
	row, derr := e.storeRequest(c)
	if derr != nil {
		return "", derr
	}
	if !row.Unanswered {
		return row.ID, nil
	}
	refuse := func(reason string) *dspError {
		return &dspError{code: 500, kind: negotiationError, reason: reason, url: c.CounterPartyAddress + requestPath}
	}
	answered := *row
	answered.Unanswered = false
	ev := events.Negotiation("Requested", &answered, nil)
	vetoErr := e.Events.Ask(ctx, ev)
	if vetoErr != nil && ctx.Err() != nil {
		return "", refuse("the sandbox stops")
	}
	var task model.Task
	err := e.Store.Update(func(tx *store.Tx) (err error) {
		answered.Vetoed = vetoErr != nil
		if !answered.Vetoed {
			if task, err = e.addTask(tx, kindNegotiation, row.ID, model.Requested); err != nil {
				return err
			}
		}
		return e.Store.Negotiations.Put(tx, row.ID, &answered)
	})
	if err = errors.Join(vetoErr, err); err != nil {
		return "", refuse("Internal server error: " + err.Error())
	}
	e.Events.Tell(ev)
	e.schedule(task)
	return row.ID, nil
}

// requestPath is where a contract request goes, below the DSP address.
const requestPath = "/negotiations/request"

// storeRequest finds the row of a contract request or makes it, if the request is valid.
func (e *Engine) storeRequest(c *model.Negotiation) (row *model.Negotiation, derr *dspError) {
	refuse := func(code int, reason string) *dspError {
		return &dspError{code: code, kind: negotiationError, reason: reason, url: c.CounterPartyAddress + requestPath}
	}
	err := e.Store.Update(func(tx *store.Tx) error {
		var provider *model.Participant
		if provider, derr = e.resolve(tx, c.CounterPartyAddress, requestPath, negotiationError); derr != nil {
			return nil
		}
		if row = e.findProviderNegotiation(tx, provider.ID, c.ID); row != nil {
			return nil
		}
		consumer := e.Store.Participants.Get(tx, c.ParticipantContextID)
		if problem := e.validateOffer(tx, provider, consumer, &c.Offer); problem != "" {
			derr = refuse(400, "Contract offer is not valid: "+problem)
			return nil
		}
		row = &model.Negotiation{
			Owned: model.Owned{ID: uuid.NewString(), ParticipantContextID: provider.ID, CreatedAt: now()},
			Type:  model.Provider, State: model.Requested, StateTimestamp: now(), Protocol: c.Protocol,
			CounterPartyID: consumer.Identity, CounterPartyAddress: e.ProtocolAddress(consumer.ID), CorrelationID: c.ID,
			Offer: c.Offer, Unanswered: true,
		}
		return e.Store.Negotiations.Put(tx, row.ID, row)
	})
	if err != nil {
		return nil, refuse(500, err.Error())
	}
	return row, derr
}

// findProviderNegotiation finds the row of a consumer's negotiation that was not vetoed.
func (e *Engine) findProviderNegotiation(tx *store.Tx, pc, consumerPID string) *model.Negotiation {
	for _, n := range e.Store.Negotiations.All(tx) {
		if n.CorrelationID == consumerPID && n.ParticipantContextID == pc && n.Type == model.Provider && !n.Vetoed {
			return n
		}
	}
	return nil
}

// validateOffer says what is wrong with a requested offer, or "".
func (e *Engine) validateOffer(tx *store.Tx, provider, consumer *model.Participant, o *model.Offer) string {
	cdID, assetID, ok := parseOfferID(o.ID)
	if !ok {
		return "Contract offer ID " + o.ID + " is invalid"
	}
	cd := e.Store.ContractDefinitions.Get(tx, cdID)
	if cd == nil || cd.ParticipantContextID != provider.ID {
		return "Contract definition with ID " + cdID + " not found"
	}
	asset := e.Store.Assets.Get(tx, assetID)
	if asset == nil || asset.ParticipantContextID != provider.ID || o.AssetID != assetID {
		return "Asset target in the contract offer does not match the one in the offer ID"
	}
	if problem := e.access(tx, cd, consumer); problem != "" {
		return problem
	}
	if !query.Matches(cd.AssetsSelector, asset, query.Asset) {
		return "Asset ID " + assetID + " is not part of the contract definition " + cdID
	}
	contract := e.Store.Policies.Get(tx, cd.ContractPolicyID)
	if contract == nil {
		return "Policy " + cd.ContractPolicyID + " not found"
	}
	if !policy.Equal(contract.Policy, o.Policy) {
		return "Policy in the contract offer is not equal to the one in the contract definition"
	}
	return e.evaluate(tx, policy.ScopeNegotiation, contract.Policy, consumer)
}

// peer finds the other side's row of a conversation.
func (e *Engine) peer(n *model.Negotiation, path string) (*model.Negotiation, *dspError) {
	p := e.negotiation(n.CorrelationID)
	if p == nil {
		return nil, &dspError{
			code: 404, kind: negotiationError, url: n.CounterPartyAddress + path,
			reason: "No negotiation with id " + n.CorrelationID + " found",
		}
	}
	return p, nil
}

// received moves the other side on a message: from one of the states that take it; a side that has moved already is content.
func (e *Engine) received(ctx context.Context, sender *model.Negotiation, path, from, to, what string, change func(*model.Negotiation), also ...func(*store.Tx) error) *dspError {
	p, derr := e.peer(sender, path)
	if derr != nil {
		return derr
	}
	refuse := func(code int, reason string) *dspError {
		return &dspError{code: code, kind: negotiationError, reason: reason, url: sender.CounterPartyAddress + path}
	}
	if model.NegotiationCodes[p.State] >= model.NegotiationCodes[to] && p.State != model.Terminating && p.State != model.Terminated {
		return nil
	}
	switch {
	case p.State == from:
	case model.NegotiationCodes[p.State] < model.NegotiationCodes[from]: // a kill kept it from storing what it had sent: soon
		return refuse(500, "Negotiation "+p.ID+" is still in state "+p.State)
	default:
		return refuse(409, "Cannot process message: negotiation "+p.ID+" is in state "+p.State)
	}
	if err := e.moveNegotiation(ctx, p, to, what, change, also...); err != nil {
		if errors.Is(err, errMoot) {
			return refuse(409, "Cannot process message: the state of negotiation "+p.ID+" has changed")
		}
		return refuse(500, "Internal server error: "+err.Error())
	}
	return nil
}

// receiveAgreement is the consumer's end of a ContractAgreementMessage: it stores its own copy under its own id.
func (e *Engine) receiveAgreement(ctx context.Context, provider *model.Negotiation) *dspError {
	path := "/negotiations/" + provider.CorrelationID + "/agreement"
	consumer, derr := e.peer(provider, path)
	if derr != nil {
		return derr
	}
	if consumer.AgreementID != "" {
		return nil
	}
	id := uuid.NewString()
	copyAgreement := func(tx *store.Tx) error {
		a := e.Store.Agreements.Get(tx, provider.AgreementID)
		if a == nil {
			return errors.New("the agreement is gone")
		}
		own := *a
		own.Owned = model.Owned{ID: id, ParticipantContextID: consumer.ParticipantContextID, CreatedAt: now()}
		own.NegotiationID = consumer.ID
		return e.Store.Agreements.Put(tx, id, &own)
	}
	return e.received(ctx, provider, path, model.Requested, model.Agreed, "Agreed", func(c *model.Negotiation) { c.AgreementID = id }, copyAgreement)
}

// receiveVerification is the provider's end of a ContractAgreementVerificationMessage.
func (e *Engine) receiveVerification(ctx context.Context, consumer *model.Negotiation) *dspError {
	return e.received(ctx, consumer, "/negotiations/"+consumer.CorrelationID+"/agreement/verification", model.Agreed, model.Verified, "Verified", nil)
}

// receiveFinalized is the consumer's end of the finalizing ContractNegotiationEventMessage.
func (e *Engine) receiveFinalized(ctx context.Context, provider *model.Negotiation) *dspError {
	return e.received(ctx, provider, "/negotiations/"+provider.CorrelationID+"/events", model.Verified, model.Finalized, "Finalized", nil)
}
