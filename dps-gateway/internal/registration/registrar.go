// Package registration registers the gateway as data plane of every tenant, at the tenant's own control plane
// (DPS 1.0, registration; EDC takes it by the Management API, dataplanes).
//
// A registration is an upsert: it is repeated with backoff until it holds, when the tenant's document changes, and every few
// minutes, since a control plane may lose it. Several replicas all do the same, and it comes to the same.
//
// When a tenant goes, its registration is deleted. A document may also be removed while no gateway runs, or a control plane be away
// then: so Redis remembers what is registered, and how to get a token for it (names of files, never a secret), until it has been
// deleted. What no replica has renewed for a while and no document names is left over; one replica at a time deletes it.
package registration

import (
	"context"
	"errors"
	"math/rand/v2"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/shared/dps"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/tenant"
)

// Tenants are the tenants in force.
type Tenants interface {
	All() []*tenant.Tenant
	// Known tells whether any document is about a participant context: one that is broken or suspended too.
	Known(participantContextID string) bool
}

// DataPlanes is the part of the Management API that registers data planes.
type DataPlanes interface {
	RegisterDataPlane(ctx context.Context, m *dps.DataPlaneRegistrationMessage) error
	DeleteDataPlane(ctx context.Context, id string) error
}

// Config sets a Registrar. The zero value of a duration is its default.
type Config struct {
	SignalingURL string        // of our signaling listener, as control planes reach it; without /participants/…
	JWKSURI      string        // of our public listener: the keys that sign our callbacks
	Profiles     []string      // that we advertise
	Every        time.Duration // repeat what holds; default 5min
	Backoff      time.Duration // after the first failure, then twice as long each; default 500ms
	MaxPause     time.Duration // longest pause between tries; default 30s
	Timeout      time.Duration // of one try; default 15s
	GiveUp       time.Duration // a registration that is left over and can't be deleted is forgotten after that; default a week
}

// Registrar keeps the registrations.
type Registrar struct {
	tenants Tenants
	of      func(*tenant.Tenant) (DataPlanes, error)
	memory  *Memory
	cfg     Config
	log     zerolog.Logger
	changed chan struct{}

	mu    sync.Mutex
	state map[string]*status
	left  []gatewayapi.TenantStatus
}

type status struct {
	registered bool
	problem    string
}

// New returns a registrar; of makes the Management API client of a tenant.
func New(tenants Tenants, of func(*tenant.Tenant) (DataPlanes, error), memory *Memory, cfg Config, log zerolog.Logger) *Registrar {
	for d, def := range map[*time.Duration]time.Duration{
		&cfg.Every: 5 * time.Minute, &cfg.Backoff: 500 * time.Millisecond, &cfg.MaxPause: 30 * time.Second, &cfg.Timeout: 15 * time.Second,
		&cfg.GiveUp: 7 * 24 * time.Hour,
	} {
		if *d <= 0 {
			*d = def
		}
	}
	return &Registrar{tenants: tenants, of: of, memory: memory, cfg: cfg, log: log, changed: make(chan struct{}, 1), state: map[string]*status{}}
}

// Changed says that the tenants may have changed. It never waits; give it to the registry's Watch.
func (r *Registrar) Changed() {
	select {
	case r.changed <- struct{}{}:
	default:
	}
}

// Status tells whether the tenant's data plane is registered, and what stands in the way.
func (r *Registrar) Status(pc string) (registered bool, problems []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s, ok := r.state[pc]
	if !ok {
		return false, nil
	}
	if s.problem != "" {
		problems = []string{s.problem}
	}
	return s.registered, problems
}

// worker keeps the registration of one tenant.
type worker struct {
	tenant *tenant.Tenant
	stop   context.CancelFunc
	done   chan struct{}
}

// Run keeps the registrations until ctx ends.
func (r *Registrar) Run(ctx context.Context) {
	workers := map[string]*worker{}
	goodbyes := map[string]*worker{}
	var sweeping sync.WaitGroup
	sweeping.Go(func() { r.sweepAlways(ctx) })
	defer sweeping.Wait()
	for ctx.Err() == nil {
		now := map[string]*tenant.Tenant{}
		for _, t := range r.tenants.All() {
			now[t.ParticipantContextID] = t
		}
		for pc, w := range workers {
			t, stays := now[pc]
			if stays && same(w.tenant, t) {
				continue
			}
			w.stop()
			<-w.done
			delete(workers, pc)
			if !stays || t.ControlPlane.ManagementURL != w.tenant.ControlPlane.ManagementURL ||
				t.ControlPlane.Signaling.DataplaneID != w.tenant.ControlPlane.Signaling.DataplaneID {
				goodbyes[pc] = r.goodbye(ctx, w.tenant)
			}
			if !stays {
				r.forget(pc)
			}
		}
		for pc, t := range now {
			if _, ok := workers[pc]; !ok {
				if g, going := goodbyes[pc]; going && g.tenant.ControlPlane.Signaling.DataplaneID == t.ControlPlane.Signaling.DataplaneID {
					g.stop() // it came back: nothing may delete the registration any more
					<-g.done
				}
				workers[pc] = r.start(ctx, t)
			}
		}
		select {
		case <-ctx.Done():
		case <-r.changed:
		}
	}
	for _, w := range workers {
		<-w.done
	}
	for _, g := range goodbyes {
		<-g.done
	}
}

// same tells whether two versions of a tenant are registered alike.
func same(a, b *tenant.Tenant) bool {
	return reflect.DeepEqual(a.ControlPlane, b.ControlPlane) && reflect.DeepEqual(a.Auth, b.Auth) && slices.Equal(a.Profiles, b.Profiles)
}

func (r *Registrar) start(ctx context.Context, t *tenant.Tenant) *worker {
	w := &worker{tenant: t, done: make(chan struct{})}
	ctx, w.stop = context.WithCancel(ctx)
	go func() {
		defer close(w.done)
		for try := 0; ; {
			err := r.register(ctx, t)
			if ctx.Err() != nil {
				return
			}
			r.note(t.ParticipantContextID, err)
			wait := r.cfg.Every
			if err != nil {
				wait = r.pause(try)
				try++
			} else {
				try = 0
			}
			if !sleep(ctx, wait) {
				return
			}
		}
	}()
	return w
}

func (r *Registrar) note(pc string, err error) {
	r.mu.Lock()
	before, known := r.state[pc]
	now := &status{registered: err == nil}
	if err != nil {
		now.problem = "registration: " + shown(err)
	}
	r.state[pc] = now
	r.mu.Unlock()
	log := r.log.With().Str("participant_context", pc).Logger()
	switch {
	case err == nil && (!known || !before.registered):
		log.Info().Msg("data plane registered")
	case err != nil && (!known || before.problem != now.problem):
		log.Warn().Err(err).Msg("data plane not registered, will be tried again")
	}
}

// shown is what an operator sees of an error: its message, not its cause.
func shown(err error) string {
	if p, ok := errors.AsType[*problem.Error](err); ok && p.Message != "" {
		return p.Message
	}
	return problem.KindOf(err).String()
}

func (r *Registrar) forget(pc string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.state, pc)
}

func (r *Registrar) pause(try int) time.Duration {
	d := min(r.cfg.Backoff<<min(try, 16), r.cfg.MaxPause)
	return d - time.Duration(rand.Int64N(int64(d)/2+1)) //nolint:gosec // spreads load, guards nothing
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
