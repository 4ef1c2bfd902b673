// Package engine is the control plane of the sandbox: catalog, negotiations and transfers between participants that all live
// in this process. Each side of a process is an object of its own, with its own id and state; the sides talk by function calls
// that stand for DSP messages and fail as those would. Steps are tasks that are stored together with the state that calls for
// them, so that a sandbox that was killed goes on with what it had not finished.
package engine

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/infra/sandbox/config"
	"github.com/tidegate/tidegate/infra/sandbox/events"
	"github.com/tidegate/tidegate/infra/sandbox/misbehave"
	"github.com/tidegate/tidegate/infra/sandbox/model"
	"github.com/tidegate/tidegate/infra/sandbox/policy"
	"github.com/tidegate/tidegate/infra/sandbox/signaling"
	"github.com/tidegate/tidegate/infra/sandbox/store"
)

// Engine runs the state machines.
type Engine struct {
	Store    *store.Store
	Policies *policy.Engine
	Events   *events.Publisher
	Planes   *signaling.Client
	Injector *misbehave.Injector
	Config   *config.Config
	Log      zerolog.Logger

	locks locks
	work  chan model.Task
	wg    sync.WaitGroup
	life  context.Context //nolint:containedctx // the life of the tasks, set once by Start
	stop  context.CancelFunc
}

// Seed upserts what the configuration describes: participants, their misbehaviour, CEL expressions.
func (e *Engine) Seed() error {
	return e.Store.Update(func(tx *store.Tx) error {
		for i := range e.Config.Participants {
			if err := e.seedParticipant(tx, &e.Config.Participants[i]); err != nil {
				return err
			}
		}
		for _, c := range e.Config.CELExpressions {
			if err := e.Policies.Compile(c.Expression); err != nil {
				return fmt.Errorf("celExpressions: %s: %w", c.ID, err)
			}
			x := model.CELExpression{ID: c.ID, LeftOperand: c.LeftOperand, Expression: c.Expression, Scopes: c.Scopes, Description: c.Description, CreatedAt: now()}
			if len(x.Scopes) == 0 {
				x.Scopes = []string{"*."}
			}
			if err := e.Store.CELExpressions.Put(tx, x.ID, &x); err != nil {
				return err
			}
		}
		for pc, m := range e.Store.Misbehaviours.All(tx) {
			e.Injector.Set(pc, *m)
		}
		return nil
	})
}

func (e *Engine) seedParticipant(tx *store.Tx, c *config.Participant) error {
	p := model.Participant{
		ID: c.ID, State: "CREATED", CreatedAt: now(), Profiles: []string{model.Profile}, PrivateEntries: map[string]string{},
		Properties: map[string]any{}, Entries: map[string]string{},
	}
	if old := e.Store.Participants.Get(tx, c.ID); old != nil {
		p = *old
		p.Properties, p.Entries = cloned(old.Properties), cloned(old.Entries)
	}
	p.Identity, p.Dialect, p.Claims = c.Identity, c.Dialect, c.Claims
	for k, v := range c.Properties { // of another type: no maps.Copy
		p.Properties[k] = v
	}
	p.Entries["edc.participant.id"] = c.Identity
	if c.Misbehaviour != nil {
		if err := e.Store.Misbehaviours.Put(tx, c.ID, c.Misbehaviour); err != nil {
			return err
		}
	}
	return e.Store.Participants.Put(tx, p.ID, &p)
}

func cloned[V any](m map[string]V) map[string]V {
	out := make(map[string]V, len(m))
	maps.Copy(out, m)
	return out
}

// FaultError is a refusal of the Management API: a status and EDC's error type and text.
type FaultError struct {
	Status  int
	Type    string
	Message string
}

func (f *FaultError) Error() string { return f.Message }

// NotFound is a 404, in EDC's words.
func NotFound(kind, id string) *FaultError {
	return &FaultError{http.StatusNotFound, "ObjectNotFound", fmt.Sprintf("Object of type %s with ID=%s was not found", kind, id)}
}

// Conflict is a 409.
func Conflict(format string, args ...any) *FaultError {
	return &FaultError{http.StatusConflict, "ObjectConflict", fmt.Sprintf(format, args...)}
}

// Invalid is a 400.
func Invalid(format string, args ...any) *FaultError {
	return &FaultError{http.StatusBadRequest, "InvalidRequest", fmt.Sprintf(format, args...)}
}

// BadGateway is a 502.
func BadGateway(message string) *FaultError {
	return &FaultError{http.StatusBadGateway, "BadGateway", message}
}

// Unexpected is a 500, whose body EDC leaves empty.
func Unexpected(format string, args ...any) *FaultError {
	return &FaultError{http.StatusInternalServerError, "", fmt.Sprintf(format, args...)}
}

func now() int64 { return time.Now().UnixMilli() }
