package registration

import (
	"context"
	"time"

	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/tenant"
)

// deleteTries bounds how often in a row a tenant that went is tried to be deregistered: its control plane may have gone with it. The
// sweep tries on, more slowly.
const deleteTries = 6

// Left are the registrations of tenants that are gone which could not be deleted, as of the last sweep.
func (r *Registrar) Left() []gatewayapi.TenantStatus {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.left
}

// goodbye deregisters a tenant in the background.
func (r *Registrar) goodbye(ctx context.Context, t *tenant.Tenant) *worker {
	w := &worker{tenant: t, done: make(chan struct{})}
	ctx, w.stop = context.WithCancel(ctx)
	go func() {
		defer close(w.done)
		r.deregister(ctx, t)
	}()
	return w
}

func (r *Registrar) deregister(ctx context.Context, t *tenant.Tenant) {
	log := r.log.With().Str("participant_context", t.ParticipantContextID).Logger()
	var err error
	for try := range deleteTries {
		if try > 0 && !sleep(ctx, r.pause(try-1)) {
			return
		}
		if err = r.remove(ctx, t); err == nil {
			log.Info().Msg("data plane deregistered")
			return
		}
	}
	log.Warn().Err(err).Msg("the data plane of a tenant that went could not be deregistered; it will be tried again")
}

// remove deletes a registration, and forgets it.
func (r *Registrar) remove(ctx context.Context, t *tenant.Tenant) error {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.Timeout)
	defer cancel()
	c, err := r.of(t)
	if err != nil {
		return err
	}
	if err := c.DeleteDataPlane(ctx, t.ControlPlane.Signaling.DataplaneID); err != nil && !problem.Is(err, problem.NotFound) {
		return err
	}
	return r.memory.Forget(ctx, t)
}

// sweepAlways looks for registrations that are left over, at the start and again and again.
func (r *Registrar) sweepAlways(ctx context.Context) {
	for {
		if err := r.sweep(ctx); err != nil && ctx.Err() == nil {
			r.log.Warn().Err(err).Msg("registrations that are left over can't be looked for now")
		}
		if !sleep(ctx, r.cfg.Every) {
			return
		}
	}
}

// leftOver is the time after which a registration that no replica has renewed is nobody's: each replica that has the tenant's document
// renews it every cfg.Every, so a document that reaches this replica late is not taken for one that is gone.
func (r *Registrar) leftOver() time.Duration { return 2*r.cfg.Every + r.cfg.Timeout }

func (r *Registrar) sweep(ctx context.Context) error {
	all, err := r.memory.All(ctx)
	if err != nil {
		return err
	}
	inForce := map[string]bool{}
	for _, t := range r.tenants.All() {
		inForce[fieldOf(t)] = true
		inForce[t.ParticipantContextID] = true
	}
	left := []gatewayapi.TenantStatus{}
	for _, e := range all {
		t := e.tenant()
		pc := e.ParticipantContextID
		switch {
		case inForce[fieldOf(t)]: // registered by rights
			continue
		case !inForce[pc] && r.tenants.Known(pc): // suspended, or broken: its document still stands
			continue
		case time.Since(e.At) < r.leftOver():
			continue
		}
		if l := r.takeLeave(ctx, t, e); l != nil {
			left = append(left, *l)
		}
	}
	r.mu.Lock()
	r.left = left
	r.mu.Unlock()
	return nil
}

// takeLeave deletes a registration that is left over, if no other replica is at it, and returns it if it stays.
func (r *Registrar) takeLeave(ctx context.Context, t *tenant.Tenant, e *entry) *gatewayapi.TenantStatus {
	log := r.log.With().Str("participant_context", e.ParticipantContextID).Str("dataplane", e.DataplaneID).Str("management_url", e.ManagementURL).Logger()
	stays := &gatewayapi.TenantStatus{ParticipantContextID: e.ParticipantContextID, Problems: []string{e.Problem}}
	mine, err := r.memory.claim(ctx, t, r.cfg.Every/2)
	if err != nil || !mine {
		if e.Problem == "" {
			return nil // another replica is deleting it for the first time
		}
		return stays
	}
	err = r.remove(ctx, t)
	switch {
	case err == nil:
		log.Info().Msg("data plane of a tenant that is gone deregistered")
		return nil
	case ctx.Err() != nil:
		return stays
	case time.Since(e.At) > r.cfg.GiveUp:
		log.Error().Err(err).Msg("the data plane of a tenant that is gone could not be deregistered and is given up: delete it at the control plane by hand")
		if ferr := r.memory.Forget(ctx, t); ferr != nil {
			log.Warn().Err(ferr).Msg("what is given up can't be forgotten now")
		}
		return nil
	}
	why := "registration: the data plane " + e.DataplaneID + " is left over at the control plane and can't be deleted: " + shown(err)
	if why != e.Problem {
		log.Warn().Err(err).Msg("the data plane of a tenant that is gone could not be deregistered; it will be tried again")
	}
	stays.Problems = []string{why}
	if nerr := r.memory.note(ctx, t, e, why); nerr != nil {
		log.Warn().Err(nerr).Msg("what stands in the way of a deregistration can't be kept")
	}
	return stays
}
