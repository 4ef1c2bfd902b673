package engine

import (
	"context"
	"errors"

	"github.com/tidegate/tidegate/infra/sandbox/model"
)

// transferStep does what the state of a transfer calls for.
func (e *Engine) transferStep(ctx context.Context, task model.Task) error {
	t := e.transfer(task.ProcessID)
	if t == nil {
		return errMoot
	}
	unlock, ok := e.locks.lock(ctx, conversation(t.Type, t.ID, t.CorrelationID), 0)
	if !ok {
		return ctx.Err()
	}
	defer unlock()
	if t = e.transfer(task.ProcessID); t == nil || t.State != task.State {
		return errMoot
	}
	err := e.transferAction(ctx, t, task)
	var again *againError
	if errors.As(err, &again) && e.lastAttempt(task) && t.State != model.Terminating {
		return e.terminating(ctx, t, again.Error())
	}
	return err
}

func (e *Engine) transferAction(ctx context.Context, t *model.Transfer, task model.Task) error {
	switch t.State {
	case model.Initial:
		if t.Type == model.Consumer {
			return e.prepare(ctx, t)
		}
		return e.start(ctx, t)
	case model.Requesting:
		return e.requestTransfer(ctx, t)
	case model.Starting:
		return e.sendTransfer(ctx, t, "Failed to send start to consumer", func() *dspError { return e.receiveStart(ctx, t) }, model.Started, "Started")
	case model.Suspending:
		return e.suspend(ctx, t)
	case model.Resuming:
		return e.resume(ctx, t)
	case model.Completing:
		return e.sendTransfer(ctx, t, "Failed to send completion to counterparty", func() *dspError { return e.receiveCompletion(ctx, t) }, model.Completed, "Completed")
	case model.Terminating:
		return e.terminate(ctx, t, task)
	}
	return errMoot
}

// failed is what a failed data plane call means for a step: nothing while the sandbox stops, the given end otherwise.
func failed(ctx context.Context, end func(detail string) error, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return end(err.Error())
}

// prepare is the consumer's first step.
func (e *Engine) prepare(ctx context.Context, t *model.Transfer) error {
	end := func(detail string) error { // nobody else knows of the transfer yet
		return e.moveTransfer(ctx, t, model.Terminated, "Terminated", func(c *model.Transfer) { c.ErrorDetail = detail })
	}
	p := e.plane(t, nil)
	if p == nil {
		return end(noDataPlane)
	}
	a, err := e.Planes.Prepare(ctx, p, e.flow(t, nil))
	if err != nil {
		return failed(ctx, end, err)
	}
	change := func(c *model.Transfer) {
		c.DataPlaneID, c.DataAddress, c.Owner = p.ID, a.DataAddress, a.DataAddress != nil && !a.Async()
	}
	if a.Async() {
		return e.moveTransfer(ctx, t, model.PreparationRequested, "PreparationRequested", change)
	}
	return e.moveTransfer(ctx, t, model.Requesting, "", change)
}

// requestTransfer sends the TransferRequestMessage.
func (e *Engine) requestTransfer(ctx context.Context, t *model.Transfer) error {
	id, derr := e.receiveTransferRequest(t)
	if derr != nil {
		return e.refused(ctx, t, "Failed to request transfer to provider", derr)
	}
	return e.moveTransfer(ctx, t, model.Requested, "Requested", func(c *model.Transfer) { c.CorrelationID = id })
}

// start is the provider's first step.
func (e *Engine) start(ctx context.Context, t *model.Transfer) error {
	end := func(detail string) error { return e.terminating(ctx, t, detail) }
	var labels []string
	if t.DataplaneMetadata != nil {
		labels = t.DataplaneMetadata.Labels
	}
	p := e.plane(t, labels)
	if p == nil {
		return end(noDataPlane)
	}
	a, err := e.Planes.Start(ctx, p, e.flow(t, t.DataAddress))
	if err != nil {
		return failed(ctx, end, err)
	}
	change := func(c *model.Transfer) {
		c.DataPlaneID = p.ID
		if a.DataAddress != nil {
			c.DataAddress, c.Owner = a.DataAddress, !a.Async()
		}
	}
	if a.Async() {
		return e.moveTransfer(ctx, t, model.StartupRequested, "", change)
	}
	return e.moveTransfer(ctx, t, model.Starting, "", change)
}

// sendTransfer sends the message of a state to the other side and moves on, or gives up after a refusal.
func (e *Engine) sendTransfer(ctx context.Context, t *model.Transfer, failure string, receive func() *dspError, to, what string) error {
	if derr := receive(); derr != nil {
		return e.refused(ctx, t, failure, derr)
	}
	return e.moveTransfer(ctx, t, to, what, func(c *model.Transfer) { c.ErrorDetail = "" })
}

// refused is what a refused DSP message means: again if that may help, else the end.
func (e *Engine) refused(ctx context.Context, t *model.Transfer, failure string, derr *dspError) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case derr.fatal():
		return e.terminating(ctx, t, failure+": "+derr.Error())
	}
	return &againError{errors.New(failure + ": " + derr.Error())}
}

func (e *Engine) suspend(ctx context.Context, t *model.Transfer) error {
	if p := e.usedPlane(t); p != nil {
		if err := e.Planes.Suspend(ctx, p, e.flow(t, nil)); err != nil {
			return failed(ctx, func(d string) error { return e.terminating(ctx, t, d) }, err)
		}
	}
	if derr := e.receiveSuspension(ctx, t); derr != nil {
		return e.refused(ctx, t, "Failed to send suspension to counterparty", derr)
	}
	return e.moveTransfer(ctx, t, model.Suspended, "Suspended", nil)
}

// resume goes two ways. The side whose data plane gave the data address asks it for a fresh one and sends that in a start
// message. The other side can only ask for it: it sends its wish and waits in RESUMED for the start.
func (e *Engine) resume(ctx context.Context, t *model.Transfer) error {
	if !t.Owner {
		if derr := e.receiveResumption(ctx, t); derr != nil {
			return e.refused(ctx, t, "Failed to send resumption to counterparty", derr)
		}
		return e.moveTransfer(ctx, t, model.Resumed, "", nil)
	}
	p := e.usedPlane(t)
	if p == nil {
		return e.terminating(ctx, t, noDataPlane)
	}
	a, err := e.Planes.Resume(ctx, p, e.flow(t, nil))
	if err != nil {
		return failed(ctx, func(d string) error { return e.terminating(ctx, t, d) }, err)
	}
	fresh := *t
	fresh.DataAddress = a.DataAddress
	if derr := e.receiveStart(ctx, &fresh); derr != nil {
		return e.refused(ctx, t, "Failed to send start to counterparty", derr)
	}
	return e.moveTransfer(ctx, t, model.Started, "Started", func(c *model.Transfer) {
		c.DataAddress, c.ErrorDetail = a.DataAddress, ""
	})
}

// terminate tells the own data plane and the other side. It always ends in TERMINATED: what cannot be told is logged.
func (e *Engine) terminate(ctx context.Context, t *model.Transfer, task model.Task) error {
	if p := e.usedPlane(t); p != nil {
		if err := e.Planes.Terminate(ctx, p, e.flow(t, nil)); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			e.Log.Warn().Err(err).Str("process_id", t.ID).Msg("data plane not terminated")
		}
	}
	if derr := e.receiveTermination(ctx, t); derr != nil {
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case !derr.fatal() && !e.lastAttempt(task):
			return &againError{derr}
		}
		e.Log.Warn().Err(derr).Str("process_id", t.ID).Msg("counterparty not told of the termination")
	}
	return e.moveTransfer(ctx, t, model.Terminated, "Terminated", nil)
}
