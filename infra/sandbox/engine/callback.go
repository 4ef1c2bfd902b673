package engine

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/tidegate/tidegate/infra/sandbox/events"
	"github.com/tidegate/tidegate/infra/sandbox/model"
	"github.com/tidegate/tidegate/infra/sandbox/signaling"
	"github.com/tidegate/tidegate/infra/sandbox/store"
)

// callbackPatience is how long a data plane's callback waits for a step that is under way.
const callbackPatience = 2 * time.Second

// FlowPlane returns a transfer with the data plane that it uses; nil, nil while none is known, which is so until prepare or
// start has been answered.
func (e *Engine) FlowPlane(id string) (*model.Transfer, *model.DataPlane) {
	t := e.transfer(id)
	if t == nil || t.DataPlaneID == "" {
		return nil, nil
	}
	var p *model.DataPlane
	e.Store.View(func(tx *store.Tx) { p = e.Store.DataPlanes.Get(tx, t.DataPlaneID) })
	if p == nil {
		return nil, nil
	}
	return t, p
}

// Callback handles a data plane's prepared, started, completed or errored and returns the HTTP status: 200, 409 or 500.
func (e *Engine) Callback(ctx context.Context, id, what string, a *signaling.Answer, detail string) int {
	if what == "errored" { // EDC logs a warning and does nothing else
		e.Log.Warn().Str("process_id", id).Str("error", detail).Msg("data plane reports an error")
		return http.StatusOK
	}
	t := e.transfer(id)
	unlock, ok := e.locks.lock(ctx, conversation(t.Type, t.ID, t.CorrelationID), callbackPatience)
	if !ok {
		return http.StatusConflict
	}
	defer unlock()
	t = e.transfer(id)
	var err error
	switch what {
	case "prepared":
		err = e.prepared(ctx, t, a)
	case "started":
		if t.Type == model.Consumer {
			return http.StatusConflict
		}
		if t.State != model.StartupRequested {
			return http.StatusInternalServerError
		}
		// The state is stored and told, but no task follows: the start is never sent.
		err = e.moveTransferTask(ctx, t, model.Starting, "Started", false, withAddress(a))
	case "completed":
		if t.State == model.Completing {
			return http.StatusOK
		}
		if !slices.Contains([]string{model.Started, model.Starting}, t.State) {
			return http.StatusConflict
		}
		err = e.moveTransfer(ctx, t, model.Completing, "", nil)
	}
	switch {
	case err == nil:
		return http.StatusOK
	case errors.Is(err, errMoot):
		return http.StatusConflict
	}
	e.Log.Warn().Err(err).Str("process_id", id).Str("callback", what).Msg("callback failed")
	return http.StatusInternalServerError
}

// prepared moves a consumer on to REQUESTING and a provider to STARTING; no task follows, so nothing is ever sent.
func (e *Engine) prepared(ctx context.Context, t *model.Transfer, a *signaling.Answer) error {
	if t.State != model.PreparationRequested {
		return errors.New("cannot transition from " + t.State)
	}
	to := model.Requesting
	if t.Type == model.Provider {
		to = model.Starting
	}
	if err := e.moveTransferTask(ctx, t, to, "Prepared", false, withAddress(a)); err != nil {
		return err
	}
	if cur := e.transfer(t.ID); cur != nil {
		e.Events.Tell(events.Transfer("Provisioned", cur))
	}
	return nil
}

func withAddress(a *signaling.Answer) func(*model.Transfer) {
	return func(c *model.Transfer) {
		if a != nil && a.DataAddress != nil {
			c.DataAddress = a.DataAddress // but not marked as owner: EDC does that for synchronous answers only
		}
	}
}
