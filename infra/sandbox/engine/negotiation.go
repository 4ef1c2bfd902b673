package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/tidegate/tidegate/infra/sandbox/events"
	"github.com/tidegate/tidegate/infra/sandbox/model"
	"github.com/tidegate/tidegate/infra/sandbox/store"
)

// commandPatience is how long a command waits for a step that is under way before it is refused as EDC refuses a command on a
// leased object.
const commandPatience = 5 * time.Second

// ContractRequest starts a negotiation as consumer.
type ContractRequest struct {
	ID                  string // "" = new
	Profile             string
	CounterPartyAddress string
	ProviderID          string // the policy's assigner
	Offer               model.Offer
	CallbackAddresses   []model.CallbackAddress
}

// StartNegotiation stores the consumer's negotiation; everything else happens later.
func (e *Engine) StartNegotiation(pc string, r ContractRequest) (*model.Negotiation, *FaultError) {
	n := &model.Negotiation{
		Owned: model.Owned{ID: r.ID, ParticipantContextID: pc, CreatedAt: now()},
		Type:  model.Consumer, State: model.Initial, StateTimestamp: now(), Protocol: r.Profile, CounterPartyID: r.ProviderID,
		CounterPartyAddress: r.CounterPartyAddress, CallbackAddresses: r.CallbackAddresses, Offer: r.Offer,
	}
	if n.ID == "" {
		n.ID = uuid.NewString()
	}
	var task model.Task
	err := e.Store.Update(func(tx *store.Tx) error {
		if f := checkProfile(e.Store.Participants.Get(tx, pc), r.Profile); f != nil {
			return f
		}
		if e.Store.Negotiations.Get(tx, n.ID) != nil {
			return Conflict("ContractNegotiation with ID %s already exists", n.ID)
		}
		var err error
		if task, err = e.addTask(tx, kindNegotiation, n.ID, n.State); err != nil {
			return err
		}
		return e.Store.Negotiations.Put(tx, n.ID, n)
	})
	if f := asFault(err); f != nil {
		return nil, f
	}
	e.Events.Tell(events.Negotiation("Initiated", n, nil))
	e.schedule(task)
	return n, nil
}

// asFault passes a fault through and makes any other error an unexpected one.
func asFault(err error) *FaultError {
	var f *FaultError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &f):
		return f
	}
	return Unexpected("%v", err)
}

// TerminateNegotiation is the command. As in EDC-V at HEAD no task follows: the negotiation stays TERMINATING and the
// counterparty is never told.
func (e *Engine) TerminateNegotiation(ctx context.Context, pc, id, reason string) *FaultError {
	n := e.negotiation(id)
	if n == nil || n.ParticipantContextID != pc {
		return NotFound("ContractNegotiation", id)
	}
	unlock, ok := e.locks.lock(ctx, conversation(n.Type, n.ID, n.CorrelationID), commandPatience)
	if !ok {
		return Conflict("ContractNegotiation %s is currently leased", id)
	}
	defer unlock()
	return asFault(e.Store.Update(func(tx *store.Tx) error {
		cur := e.Store.Negotiations.Get(tx, id)
		switch {
		case cur == nil:
			return NotFound("ContractNegotiation", id)
		case cur.State == model.Finalized:
			return Unexpected("cannot transition from FINALIZED to TERMINATING")
		case cur.State == model.Terminated:
			return nil
		}
		c := *cur
		c.State, c.StateTimestamp, c.ErrorDetail = model.Terminating, now(), reason
		return e.Store.Negotiations.Put(tx, id, &c)
	}))
}

// conversation is the key of the lock that both sides of a process share: the consumer's id.
func conversation(side, id, correlation string) string {
	if side == model.Provider {
		return correlation
	}
	return id
}

func (e *Engine) negotiation(id string) (n *model.Negotiation) {
	e.Store.View(func(tx *store.Tx) { n = e.Store.Negotiations.Get(tx, id) })
	return n
}

// negotiationStep does what the state of a negotiation calls for.
func (e *Engine) negotiationStep(ctx context.Context, t model.Task) error {
	n := e.negotiation(t.ProcessID)
	if n == nil {
		return errMoot
	}
	unlock, ok := e.locks.lock(ctx, conversation(n.Type, n.ID, n.CorrelationID), 0)
	if !ok {
		return ctx.Err()
	}
	defer unlock()
	if n = e.negotiation(t.ProcessID); n == nil || n.State != t.State {
		return errMoot
	}
	err := e.negotiationAction(ctx, n, t)
	var again *againError
	if errors.As(err, &again) && e.lastAttempt(t) {
		return e.terminated(ctx, n, again.Error())
	}
	return err
}

func (e *Engine) negotiationAction(ctx context.Context, n *model.Negotiation, t model.Task) error {
	side := n.Type
	switch {
	case side == model.Consumer && n.State == model.Initial:
		return e.moveNegotiation(ctx, n, model.Requesting, "", nil)
	case side == model.Consumer && n.State == model.Requesting:
		return e.request(ctx, n, t)
	case side == model.Provider && n.State == model.Requested:
		return e.agree(ctx, n)
	case side == model.Provider && n.State == model.Agreeing:
		return e.sendNegotiation(ctx, n, t, model.Agreed, "Agreed", "Failed to send agreement to consumer", e.receiveAgreement)
	case side == model.Consumer && n.State == model.Agreed:
		return e.moveNegotiation(ctx, n, model.Verifying, "", nil)
	case side == model.Consumer && n.State == model.Verifying:
		return e.sendNegotiation(ctx, n, t, model.Verified, "Verified", "Failed to send verification to provider", e.receiveVerification)
	case side == model.Provider && n.State == model.Verified:
		return e.moveNegotiation(ctx, n, model.Finalizing, "", nil)
	case side == model.Provider && n.State == model.Finalizing:
		return e.sendNegotiation(ctx, n, t, model.Finalized, "Finalized", "Failed to send finalization to consumer", e.receiveFinalized)
	}
	return errMoot
}

// needsTask are the states after which a negotiation goes on by itself, by side.
var needsTask = map[string]map[string]bool{
	model.Consumer: {model.Requesting: true, model.Agreed: true, model.Verifying: true},
	model.Provider: {model.Requested: true, model.Agreeing: true, model.Verified: true, model.Finalizing: true},
}

// moveNegotiation changes the state of a negotiation: asks the blocking callbacks first, then stores the state with the task
// that it calls for, then tells the world. what is the event's name, or "" for none; change may alter the copy; also, if given,
// writes what belongs to the state in the same transaction.
func (e *Engine) moveNegotiation(ctx context.Context, n *model.Negotiation, to, what string, change func(*model.Negotiation), also ...func(*store.Tx) error) error {
	c := *n
	c.State, c.StateTimestamp = to, now()
	if change != nil {
		change(&c)
	}
	var ev *events.Event
	if what != "" {
		var agreement *model.Agreement
		if what == "Finalized" {
			e.Store.View(func(tx *store.Tx) { agreement = e.Store.Agreements.Get(tx, c.AgreementID) })
		}
		ev = events.Negotiation(what, &c, agreement)
		if err := e.Events.Ask(ctx, ev); err != nil && to != model.Terminated { // the end cannot be refused
			return &againError{fmt.Errorf("blocking callback: %w", err)}
		}
	}
	var task model.Task
	err := e.Store.Update(func(tx *store.Tx) error {
		cur := e.Store.Negotiations.Get(tx, n.ID)
		if cur == nil || cur.State != n.State {
			return errMoot
		}
		if needsTask[c.Type][to] {
			var err error
			if task, err = e.addTask(tx, kindNegotiation, c.ID, to); err != nil {
				return err
			}
		}
		for _, f := range also {
			if err := f(tx); err != nil {
				return err
			}
		}
		return e.Store.Negotiations.Put(tx, c.ID, &c)
	})
	if err != nil {
		return err
	}
	if ev != nil {
		e.Events.Tell(ev)
	}
	e.schedule(task)
	return nil
}

// terminated ends a negotiation on this side with the reason in errorDetail.
func (e *Engine) terminated(ctx context.Context, n *model.Negotiation, detail string) error {
	return e.moveNegotiation(ctx, n, model.Terminated, "Terminated", func(c *model.Negotiation) { c.ErrorDetail = detail })
}

// request sends the contract request, as the consumer.
func (e *Engine) request(ctx context.Context, n *model.Negotiation, t model.Task) error {
	providerID, derr := e.receiveRequest(ctx, n)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if derr != nil {
		if !derr.fatal() && !e.lastAttempt(t) {
			return &againError{derr}
		}
		return e.terminated(ctx, n, "Failed to request contract to provider: "+derr.Error())
	}
	return e.moveNegotiation(ctx, n, model.Requested, "Requested", func(c *model.Negotiation) { c.CorrelationID = providerID })
}

// agree makes the agreement, as the provider. Its ids are fixed here, so that sending it twice sends the same.
func (e *Engine) agree(ctx context.Context, n *model.Negotiation) error {
	a := &model.Agreement{
		Owned:       model.Owned{ID: uuid.NewString(), ParticipantContextID: n.ParticipantContextID, CreatedAt: now()},
		AgreementID: uuid.NewString(), PolicyID: uuid.NewString(), NegotiationID: n.ID, AssetID: n.Offer.AssetID,
		ConsumerID: n.CounterPartyID, SigningDate: time.Now().Unix(), Policy: n.Offer.Policy, Claims: map[string]any{},
	}
	return e.moveNegotiation(ctx, n, model.Agreeing, "", func(c *model.Negotiation) { c.AgreementID = a.ID }, func(tx *store.Tx) error {
		if p := e.Store.Participants.Get(tx, n.ParticipantContextID); p != nil {
			a.ProviderID = p.Identity
		}
		return e.Store.Agreements.Put(tx, a.ID, a)
	})
}

// sendNegotiation sends the message of a state to the other side and moves on, or gives up after a refusal.
func (e *Engine) sendNegotiation(ctx context.Context, n *model.Negotiation, t model.Task, to, what, failure string,
	receive func(context.Context, *model.Negotiation) *dspError,
) error {
	if derr := receive(ctx, n); derr != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if !derr.fatal() && !e.lastAttempt(t) {
			return &againError{derr}
		}
		return e.terminated(ctx, n, failure+": "+derr.Error())
	}
	return e.moveNegotiation(ctx, n, to, what, nil)
}
