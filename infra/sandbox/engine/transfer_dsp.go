package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/tidegate/tidegate/infra/sandbox/events"
	"github.com/tidegate/tidegate/infra/sandbox/model"
	"github.com/tidegate/tidegate/infra/sandbox/policy"
	"github.com/tidegate/tidegate/infra/sandbox/store"
)

// receiveTransferRequest is the provider's end of a TransferRequestMessage. The same request again is answered as before.
func (e *Engine) receiveTransferRequest(c *model.Transfer) (providerID string, derr *dspError) {
	const path = "/transfers/request"
	refuse := func(code int, reason string) *dspError {
		return &dspError{code: code, kind: transferError, reason: reason, url: c.CounterPartyAddress + path}
	}
	var row *model.Transfer
	var task model.Task
	err := e.Store.Update(func(tx *store.Tx) error {
		provider, failure := e.resolve(tx, c.CounterPartyAddress, path, transferError)
		if failure != nil {
			derr = failure
			return nil
		}
		for _, t := range e.Store.Transfers.All(tx) {
			if t.CorrelationID == c.ID && t.ParticipantContextID == provider.ID && t.Type == model.Provider {
				providerID = t.ID
				return nil
			}
		}
		consumer := e.Store.Participants.Get(tx, c.ParticipantContextID)
		agreement := e.providerAgreement(tx, provider.ID, c.ContractID)
		if agreement == nil || agreement.ConsumerID != consumer.Identity {
			derr = refuse(400, "Contract agreement not found")
			return nil
		}
		if problem := e.evaluate(tx, policy.ScopeTransfer, agreement.Policy, consumer); problem != "" {
			derr = refuse(400, problem)
			return nil
		}
		row = &model.Transfer{
			Owned: model.Owned{ID: uuid.NewString(), ParticipantContextID: provider.ID, CreatedAt: now()},
			Type:  model.Provider, State: model.Initial, StateTimestamp: now(), Protocol: c.Protocol, CounterPartyID: consumer.Identity,
			CounterPartyAddress: e.ProtocolAddress(consumer.ID), CorrelationID: c.ID, AssetID: agreement.AssetID,
			ContractID: agreement.ID, TransferType: c.TransferType, DataAddress: c.DataAddress,
		}
		if a := e.Store.Assets.Get(tx, agreement.AssetID); a != nil && a.DataplaneMetadata != nil {
			row.DataplaneMetadata = &model.DataplaneMetadata{Labels: a.DataplaneMetadata.Labels, Properties: a.DataplaneMetadata.Properties}
		}
		var err error
		if task, err = e.addTask(tx, kindTransfer, row.ID, row.State); err != nil {
			return err
		}
		return e.Store.Transfers.Put(tx, row.ID, row)
	})
	switch {
	case err != nil:
		return "", refuse(500, err.Error())
	case derr != nil || row == nil:
		return providerID, derr
	}
	e.Events.Tell(events.Transfer("Initiated", row))
	e.schedule(task)
	return row.ID, nil
}

// providerAgreement finds the provider's copy of the agreement that the consumer names by its own id.
func (e *Engine) providerAgreement(tx *store.Tx, pc, consumerAgreementID string) *model.Agreement {
	mine := e.Store.Agreements.Get(tx, consumerAgreementID)
	if mine == nil {
		return nil
	}
	for _, a := range e.Store.Agreements.All(tx) {
		if a.AgreementID == mine.AgreementID && a.ParticipantContextID == pc {
			return a
		}
	}
	return nil
}

// other finds the other side of a transfer; nil, nil if it never came to know of it.
func (e *Engine) other(t *model.Transfer, path string) (*model.Transfer, func(int, string) *dspError, *dspError) {
	refuse := func(code int, reason string) *dspError {
		return &dspError{code: code, kind: transferError, reason: reason, url: t.CounterPartyAddress + path}
	}
	if t.CorrelationID == "" {
		return nil, refuse, nil
	}
	o := e.transfer(t.CorrelationID)
	if o == nil {
		return nil, refuse, refuse(404, "No transfer process with id "+t.CorrelationID+" found")
	}
	return o, refuse, nil
}

// passing are the states that a process leaves by itself, if nothing is wrong.
var passing = []string{
	model.Initial, model.PreparationRequested, model.Requesting, model.Requested, model.Starting, model.StartupRequested,
	model.Suspending, model.Resuming, model.Resumed,
}

// wrongState refuses a message: for good, or for now if the receiver may only not have stored yet what it had sent before a
// kill. The sender tries that again a few times and gives up then.
func wrongState(refuse func(int, string) *dspError, t *model.Transfer) *dspError {
	code := 409
	if slices.Contains(passing, t.State) {
		code = 500
	}
	return refuse(code, fmt.Sprintf("Cannot process message: transfer process %s is in state %s", t.ID, t.State))
}

// moved turns the failure of a receiver's own transition into an answer.
func moved(refuse func(int, string) *dspError, err error) *dspError {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errMoot):
		return refuse(409, "The state of the transfer process has changed")
	}
	return refuse(500, "Internal server error: "+err.Error())
}

// receiveStart is the receiver's end of a TransferStartMessage, the first one or that after a resumption. sender carries the
// data address that is in force.
func (e *Engine) receiveStart(ctx context.Context, sender *model.Transfer) *dspError {
	o, refuse, derr := e.other(sender, "/transfers/"+sender.CorrelationID+"/start")
	if derr != nil || o == nil {
		return derr
	}
	resumed := o.State == model.Suspended || o.State == model.Resumed || o.State == model.Resuming
	switch {
	case o.State == model.Started:
		return nil // told before
	case !resumed && o.State != model.Requested:
		return wrongState(refuse, o)
	case resumed && !o.Owner && sender.DataAddress == nil:
		return refuse(400, "Cannot resume transfer without a DataAddress")
	}
	p := e.usedPlane(o)
	if p == nil {
		return refuse(500, noDataPlane)
	}
	address := sender.DataAddress
	if !sender.Owner { // push: the plane that receives hears of its own address again
		address = o.DataAddress
	}
	var err error
	if resumed {
		_, err = e.Planes.Resume(ctx, p, e.flow(o, address))
	} else {
		err = e.Planes.Started(ctx, p, e.flow(o, address))
	}
	if err != nil {
		return refuse(500, err.Error())
	}
	return moved(refuse, e.moveTransfer(ctx, o, model.Started, "Started", func(c *model.Transfer) {
		c.ErrorDetail = ""
		if sender.Owner {
			c.DataAddress, c.Owner = address, false
		}
	}))
}

// receiveSuspension is the receiver's end of a TransferSuspensionMessage.
func (e *Engine) receiveSuspension(ctx context.Context, sender *model.Transfer) *dspError {
	o, refuse, derr := e.other(sender, "/transfers/"+sender.CorrelationID+"/suspension")
	switch {
	case derr != nil || o == nil || o.State == model.Suspended:
		return derr
	case o.State != model.Started:
		return wrongState(refuse, o)
	}
	if p := e.usedPlane(o); p != nil {
		if err := e.Planes.Suspend(ctx, p, e.flow(o, nil)); err != nil {
			return refuse(500, err.Error())
		}
	}
	return moved(refuse, e.moveTransfer(ctx, o, model.Suspended, "Suspended", func(c *model.Transfer) {
		if sender.ErrorDetail != "" {
			c.ErrorDetail = "{@value=" + sender.ErrorDetail + "}" // how a suspension's reason comes through in EDC
		}
	}))
}

// receiveResumption is the receiver's end of the wish to resume: it starts its own resumption, as the owner of the address.
func (e *Engine) receiveResumption(ctx context.Context, sender *model.Transfer) *dspError {
	o, refuse, derr := e.other(sender, "/transfers/"+sender.CorrelationID+"/start")
	switch {
	case derr != nil || o == nil || o.State == model.Resuming:
		return derr
	case o.State != model.Suspended:
		return wrongState(refuse, o)
	case !o.Owner:
		return refuse(400, "Cannot resume transfer without a DataAddress")
	}
	return moved(refuse, e.moveTransfer(ctx, o, model.Resuming, "", nil))
}

// receiveCompletion is the receiver's end of a TransferCompletionMessage.
func (e *Engine) receiveCompletion(ctx context.Context, sender *model.Transfer) *dspError {
	o, refuse, derr := e.other(sender, "/transfers/"+sender.CorrelationID+"/completion")
	switch {
	case derr != nil || o == nil || o.State == model.Completed:
		return derr
	case o.State != model.Started && o.State != model.Completing:
		return wrongState(refuse, o)
	}
	if p := e.usedPlane(o); p != nil {
		if err := e.Planes.Completed(ctx, p, e.flow(o, nil)); err != nil {
			return refuse(500, err.Error())
		}
	}
	return moved(refuse, e.moveTransfer(ctx, o, model.Completed, "Completed", nil))
}

// receiveTermination is the receiver's end of a TransferTerminationMessage.
func (e *Engine) receiveTermination(ctx context.Context, sender *model.Transfer) *dspError {
	o, refuse, derr := e.other(sender, "/transfers/"+sender.CorrelationID+"/termination")
	if derr != nil || o == nil || slices.Contains([]string{model.Terminated, model.Completed}, o.State) {
		return derr
	}
	if p := e.usedPlane(o); p != nil {
		if err := e.Planes.Terminate(ctx, p, e.flow(o, nil)); err != nil {
			if ctx.Err() != nil {
				return refuse(500, err.Error())
			}
			e.Log.Warn().Err(err).Str("process_id", o.ID).Msg("data plane not terminated")
		}
	}
	return moved(refuse, e.moveTransfer(ctx, o, model.Terminated, "Terminated", func(c *model.Transfer) {
		if sender.ErrorDetail != "" {
			c.ErrorDetail = `[{"@value":"` + sender.ErrorDetail + `"}]` // how a termination's reason comes through in EDC
		}
	}))
}
