package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/tidegate/tidegate/infra/sandbox/events"
	"github.com/tidegate/tidegate/infra/sandbox/model"
	"github.com/tidegate/tidegate/infra/sandbox/signaling"
	"github.com/tidegate/tidegate/infra/sandbox/store"
)

// noDataPlane is EDC's text.
const noDataPlane = "No dataplane found"

// TransferRequest starts a transfer as consumer.
type TransferRequest struct {
	ID                  string // "" = new; an id that exists is answered with that process
	Profile             string
	CounterPartyAddress string
	ContractID          string
	TransferType        string
	CallbackAddresses   []model.CallbackAddress
	PrivateProperties   map[string]any
	DataplaneMetadata   *model.DataplaneMetadata
}

// StartTransfer stores the consumer's process; everything else happens later.
func (e *Engine) StartTransfer(pc string, r TransferRequest) (*model.Transfer, *FaultError) {
	var t *model.Transfer
	var task model.Task
	err := e.Store.Update(func(tx *store.Tx) error {
		if f := checkProfile(e.Store.Participants.Get(tx, pc), r.Profile); f != nil {
			return f
		}
		a := e.Store.Agreements.Get(tx, r.ContractID)
		if a == nil || a.ParticipantContextID != pc {
			return Invalid("Contract agreement with id %s not found", r.ContractID)
		}
		if r.ID != "" {
			if old := e.Store.Transfers.Get(tx, r.ID); old != nil {
				if old.ParticipantContextID != pc {
					return Conflict("TransferProcess with ID %s already exists", r.ID)
				}
				t = old
				return nil
			}
		} else {
			r.ID = uuid.NewString()
		}
		t = &model.Transfer{
			Owned: model.Owned{ID: r.ID, ParticipantContextID: pc, CreatedAt: now()},
			Type:  model.Consumer, State: model.Initial, StateTimestamp: now(), Protocol: r.Profile, CounterPartyID: a.ProviderID,
			CounterPartyAddress: r.CounterPartyAddress, CallbackAddresses: r.CallbackAddresses, AssetID: a.AssetID,
			ContractID: a.ID, TransferType: r.TransferType, DataplaneMetadata: r.DataplaneMetadata, PrivateProperties: r.PrivateProperties,
		}
		var err error
		if task, err = e.addTask(tx, kindTransfer, t.ID, t.State); err != nil {
			return err
		}
		return e.Store.Transfers.Put(tx, t.ID, t)
	})
	if f := asFault(err); f != nil {
		return nil, f
	}
	if task.ID != "" {
		e.Events.Tell(events.Transfer("Initiated", t))
		e.schedule(task)
	}
	return t, nil
}

// Command is what a person or an application may ask of a running transfer.
type Command struct {
	name  string
	from  []string
	to    string
	what  string // event
	reset bool   // forgets the last error
}

// The commands of a transfer process.
var (
	Terminate = Command{name: "TerminateTransferCommand", to: model.Terminating, from: []string{
		model.Initial, model.PreparationRequested, model.Requesting, model.Requested, model.Starting, model.StartupRequested,
		model.Started, model.Suspending, model.Suspended, model.Resuming, model.Resumed,
	}}
	Suspend = Command{name: "SuspendTransferCommand", to: model.Suspending, from: []string{model.Started}}
	Resume  = Command{name: "ResumeTransferCommand", to: model.Resuming, from: []string{model.Suspended}, what: "Resumed", reset: true}
)

// Command changes the state of a transfer; a step does the rest.
func (e *Engine) Command(ctx context.Context, pc, id, reason string, c Command) *FaultError {
	t := e.transfer(id)
	if t == nil || t.ParticipantContextID != pc {
		return NotFound("TransferProcess", id)
	}
	unlock, ok := e.locks.lock(ctx, conversation(t.Type, t.ID, t.CorrelationID), commandPatience)
	if !ok {
		return Conflict("TransferProcess %s is currently leased", id)
	}
	defer unlock()
	t = e.transfer(id)
	if t.State == c.to {
		return nil
	}
	if !slices.Contains(c.from, t.State) {
		return Conflict("Could not execute %s on TransferProcess with ID [%s] because it's %s", c.name, id, t.State)
	}
	err := e.moveTransfer(ctx, t, c.to, c.what, func(n *model.Transfer) {
		if c.reset {
			n.ErrorDetail = ""
		} else if reason != "" {
			n.ErrorDetail = reason
		}
	})
	if errors.Is(err, errMoot) {
		return Conflict("TransferProcess %s is currently leased", id)
	}
	return asFault(err)
}

func (e *Engine) transfer(id string) (t *model.Transfer) {
	e.Store.View(func(tx *store.Tx) { t = e.Store.Transfers.Get(tx, id) })
	return t
}

// transferNeedsTask are the states that call for a step. STARTING is one of them only if the data plane answered at once: after
// a callback EDC creates no task (moveTransfer is told so), and the transfer never starts.
var transferNeedsTask = map[string]map[string]bool{
	model.Consumer: {
		model.Initial: true, model.Requesting: true, model.Suspending: true, model.Resuming: true, model.Completing: true, model.Terminating: true,
	},
	model.Provider: {
		model.Initial: true, model.Starting: true, model.Suspending: true, model.Resuming: true, model.Completing: true, model.Terminating: true,
	},
}

// moveTransfer is moveNegotiation for transfers.
func (e *Engine) moveTransfer(ctx context.Context, t *model.Transfer, to, what string, change func(*model.Transfer)) error {
	return e.moveTransferTask(ctx, t, to, what, transferNeedsTask[t.Type][to], change)
}

func (e *Engine) moveTransferTask(ctx context.Context, t *model.Transfer, to, what string, needsTask bool, change func(*model.Transfer)) error {
	c := *t
	c.State, c.StateTimestamp = to, now()
	if change != nil {
		change(&c)
	}
	var ev *events.Event
	if what != "" {
		ev = events.Transfer(what, &c)
		if err := e.Events.Ask(ctx, ev); err != nil && to != model.Terminated { // the end cannot be refused
			return &againError{fmt.Errorf("blocking callback: %w", err)}
		}
	}
	var task model.Task
	err := e.Store.Update(func(tx *store.Tx) error {
		cur := e.Store.Transfers.Get(tx, t.ID)
		if cur == nil || cur.State != t.State {
			return errMoot
		}
		if needsTask {
			var err error
			if task, err = e.addTask(tx, kindTransfer, c.ID, to); err != nil {
				return err
			}
		}
		return e.Store.Transfers.Put(tx, c.ID, &c)
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

// terminating gives a transfer up with the reason in errorDetail.
func (e *Engine) terminating(ctx context.Context, t *model.Transfer, detail string) error {
	return e.moveTransfer(ctx, t, model.Terminating, "", func(c *model.Transfer) { c.ErrorDetail = detail })
}

// plane selects the data plane for a new transfer: of the participant, with the transfer type and, at the provider, all
// labels of the asset.
func (e *Engine) plane(t *model.Transfer, labels []string) (p *model.DataPlane) {
	e.Store.View(func(tx *store.Tx) {
		for _, d := range e.Store.DataPlanes.All(tx) {
			if d.ParticipantContextID == t.ParticipantContextID && slices.Contains(d.TransferTypes, t.TransferType) &&
				!slices.ContainsFunc(labels, func(l string) bool { return !slices.Contains(d.Labels, l) }) {
				p = d
				return
			}
		}
	})
	return p
}

// usedPlane is the data plane that a running transfer uses, if it is still registered and still the participant's.
func (e *Engine) usedPlane(t *model.Transfer) (p *model.DataPlane) {
	e.Store.View(func(tx *store.Tx) {
		if d := e.Store.DataPlanes.Get(tx, t.DataPlaneID); d != nil && d.ParticipantContextID == t.ParticipantContextID {
			p = d
		}
	})
	return p
}

// flow is what the data plane is told about a transfer.
func (e *Engine) flow(t *model.Transfer, address *model.DataAddress) *signaling.Flow {
	f := &signaling.Flow{
		Consumer: t.Type == model.Consumer, CounterPartyID: t.CounterPartyID, Protocol: t.Protocol, ProcessID: t.ID, AgreementID: t.ContractID, DatasetID: t.AssetID,
		TransferType: t.TransferType, DataplaneMetadata: t.DataplaneMetadata, DataAddress: address,
		Claims: map[string]any{"client_id": t.CounterPartyID},
	}
	e.Store.View(func(tx *store.Tx) {
		if p := e.Store.Participants.Get(tx, t.ParticipantContextID); p != nil {
			f.ParticipantID, f.Dialect = p.Identity, p.Dialect
		}
		for _, p := range e.Store.Participants.All(tx) {
			if p.Identity == t.CounterPartyID {
				f.Claims = claimsOf(p)
			}
		}
	})
	return f
}
