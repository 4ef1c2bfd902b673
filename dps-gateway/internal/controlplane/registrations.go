package controlplane

import (
	"context"
	_ "embed"
	"encoding/json"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tidegate/tidegate/dps-gateway/internal/keys"
	"github.com/tidegate/tidegate/dps-gateway/internal/redisconn"
	"github.com/tidegate/tidegate/shared/dps"
	"github.com/tidegate/tidegate/shared/problem"
)

// MaxRegistrations bounds the control planes that may register themselves with one tenant.
const MaxRegistrations = 16

//go:embed put.lua
var putSource string

var putScript = redis.NewScript(putSource)

// Registration is a control plane that has registered itself (ControlPlaneRegistrationMessage). It may hold a secret.
type Registration struct {
	ID            string            `json:"controlplaneId"`
	Endpoint      string            `json:"endpoint"`
	Authorization dps.Authorization `json:"authorization"`
}

// Once makes a token good for one request, as flowstore.Once does.
type Once struct {
	TokenID string
	Request string
	TTL     time.Duration
}

// Registrations keeps the registrations of control planes in Redis, in the shard of their tenant. Every use reads it, so that a change
// is in force on all replicas at once.
type Registrations struct{ rdb redis.UniversalClient }

// NewRegistrations returns the store.
func NewRegistrations(rdb redis.UniversalClient) *Registrations { return &Registrations{rdb: rdb} }

// Get reads a registration; nil if there is none.
func (s *Registrations) Get(ctx context.Context, pc, id string) (*Registration, error) {
	text, err := s.rdb.HGet(ctx, keys.ControlPlanes(pc), id).Bytes()
	if err == redis.Nil { //nolint:errorlint // go-redis documents Nil as a plain sentinel
		return nil, nil
	}
	if err != nil {
		return nil, unavailable(err)
	}
	var r Registration
	if err := json.Unmarshal(text, &r); err != nil {
		return nil, problem.Wrap(problem.Internal, err, "the stored registration of a control plane")
	}
	return &r, nil
}

// Put registers a control plane, or replaces its registration as a whole. once makes the caller's token good for one request.
func (s *Registrations) Put(ctx context.Context, pc string, r *Registration, once *Once) error {
	b, err := json.Marshal(r)
	if err != nil {
		return problem.Wrap(problem.Internal, err, "the registration of a control plane")
	}
	return s.write(ctx, pc, r.ID, b, once)
}

// Delete removes a registration; NotFound if there is none.
func (s *Registrations) Delete(ctx context.Context, pc, id string, once *Once) error {
	return s.write(ctx, pc, id, nil, once)
}

func (s *Registrations) write(ctx context.Context, pc, id string, doc []byte, once *Once) error {
	mark, request, ttl := keys.Tenant(pc, "none"), "", int64(0)
	if once != nil {
		mark, request, ttl = keys.TokenID(pc, once.TokenID), once.Request, max(once.TTL.Milliseconds(), 1)
	}
	outcome, err := putScript.Run(ctx, s.rdb, []string{keys.ControlPlanes(pc), mark}, request, ttl, id, doc, MaxRegistrations).Text()
	if err != nil {
		return unavailable(err)
	}
	switch outcome {
	case "done":
		return nil
	case "token reused":
		return problem.New(problem.Unauthenticated, "the token was used before (claim jti)")
	case "full":
		return problem.New(problem.Conflict, "%d control planes are registered with this participant context, and more are not taken", MaxRegistrations)
	}
	return problem.New(problem.NotFound, "there is no such control plane")
}

func unavailable(err error) error {
	e := problem.Wrap(problem.Unavailable, redisconn.Trouble(err), "the registrations of control planes can't be reached")
	e.RetryAfter = time.Second
	return e
}
