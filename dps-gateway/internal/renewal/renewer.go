// Package renewal renews the access tokens of data addresses that other participants made (token renewal profile of Data Plane
// Signaling, the client's side).
//
// A token is renewed when somebody asks for the address and the token has little time left, or was refused. One request per flow
// is under way across all replicas: a lease in Redis is held while the other side is asked, and the answer replaces the very address
// that was renewed and no other. If an answer is lost, the refresh token that is still stored is sent again, which the other side
// must take until its successor was used.
package renewal

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strconv"
	"time"

	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/dps-gateway/internal/flowstore"
	"github.com/tidegate/tidegate/shared/did"
	"github.com/tidegate/tidegate/shared/dps"
	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/tenant"
)

const (
	leaseTime   = 20 * time.Second // longer than all that is done under it
	renewTime   = 15 * time.Second // of one renewal, repeats included
	patience    = 2 * time.Second  // for another's renewal while the token is good
	refusedTime = 30 * time.Second // a refusal is believed
	pollTime    = 20 * time.Millisecond
	attempts    = 2 // an answer that was lost is had by asking again
	attemptTime = 6 * time.Second
)

// Flows is what the renewer needs of the flows; *flowstore.Redis has it.
type Flows interface {
	Held(ctx context.Context, pc, id string) (*flowstore.HeldAddress, error)
	Renewed(ctx context.Context, pc, id string, old *flowstore.HeldAddress, address *dps.DataAddress, now time.Time) (bool, error)
	RenewClaim(ctx context.Context, pc, id, holder string, h *flowstore.HeldAddress, ttl time.Duration) (flowstore.RenewLease, error)
	RenewRelease(ctx context.Context, pc, id, holder string) error
	RenewRefuse(ctx context.Context, pc, id, holder string, h *flowstore.HeldAddress, ttl time.Duration) error
}

// Tenants are the tenants in force.
type Tenants interface {
	Get(participantContextID string) (*tenant.Tenant, bool)
}

// Renewer renews. Safe for concurrent use.
type Renewer struct {
	Flows          Flows
	Tenants        Tenants
	Peers          *http.Client  // for the refresh endpoints of other participants
	Vault          *http.Client  // for signing services
	Before         time.Duration // a token that has less left, or less than a fifth of its life, is renewed
	AllowPlainHTTP bool          // refresh endpoints without TLS
	Log            zerolog.Logger
}

// Address returns the data address of a flow, after having renewed its token if that was due. A renewal that fails does no harm as
// long as the token is good. If the other side refuses, the address is returned as it is: its endpoint will say what is wrong.
func (r *Renewer) Address(ctx context.Context, pc, id string) (*dps.DataAddress, error) {
	h, err := r.Flows.Held(ctx, pc, id)
	if err != nil {
		return nil, err
	}
	t, ok := r.renewable(pc, h)
	if !ok {
		return h.Address, nil
	}
	left, due := r.due(h)
	if !due {
		return h.Address, nil
	}
	wait := renewTime
	if left > 0 {
		wait = min(patience, left)
	}
	fresh, err := r.renew(ctx, t, pc, id, h, wait)
	switch {
	case err == nil:
		return fresh, nil
	case left > 0 || problem.Is(err, problem.Conflict):
		r.Log.Warn().Str("participant_context", pc).Str("process_id", id).Dur("left", left).Err(err).Msg("access token not renewed")
		return h.Address, nil
	}
	return nil, err
}

// Renew returns the data address of a flow with another token than the one whose SHA-256 (hex) is given, which the other side has
// refused. It is of kind Conflict if there is none and none is to be had.
func (r *Renewer) Renew(ctx context.Context, pc, id, refused string) (*dps.DataAddress, error) {
	h, err := r.Flows.Held(ctx, pc, id)
	if err != nil {
		return nil, err
	}
	if Digest(h.Address.Property(dps.PropertyAuthorization)) != refused {
		return h.Address, nil // renewed meanwhile
	}
	t, ok := r.renewable(pc, h)
	if !ok {
		return nil, problem.New(problem.Conflict, "the data address can't be renewed")
	}
	return r.renew(ctx, t, pc, id, h, renewTime)
}

// Digest is how a token is named without telling it.
func Digest(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// renewable tells whether an address is one that we can renew: another's, of a started flow, with a refresh token, and the tenant
// has a key.
func (r *Renewer) renewable(pc string, h *flowstore.HeldAddress) (*tenant.Tenant, bool) {
	t, ok := r.Tenants.Get(pc)
	if !ok || t.Renewal.Key.ID == "" || h.State != dps.Started || dps.OwnsAddress(h.Role, h.Direction) || !h.Address.Renewable() {
		return nil, false
	}
	return t, true
}

// due tells how long the token is good, and whether it is time to renew it.
func (r *Renewer) due(h *flowstore.HeldAddress) (left time.Duration, due bool) {
	n, err := strconv.Atoi(h.Address.Property(dps.PropertyExpiresIn))
	if err != nil { // it was checked when it came
		return 0, false
	}
	life := time.Duration(n) * time.Second
	left = time.Until(h.Since.Add(life))
	return left, left < max(life/5, min(r.Before, life/2))
}

// renew renews, or waits for another replica that does.
func (r *Renewer) renew(ctx context.Context, t *tenant.Tenant, pc, id string, h *flowstore.HeldAddress, wait time.Duration) (*dps.DataAddress, error) {
	ctx, cancel := context.WithTimeout(ctx, renewTime)
	defer cancel()
	holder, until := rand.Text(), time.Now().Add(wait)
	for {
		got, err := r.Flows.RenewClaim(ctx, pc, id, holder, h, leaseTime)
		switch {
		case err != nil:
			return nil, err
		case got == flowstore.RenewRefused:
			return nil, errRefused()
		case got == flowstore.RenewHeld:
			return r.renewHeld(ctx, t, pc, id, h, holder)
		case time.Now().After(until):
			return nil, problem.New(problem.Unavailable, "another process renews the access token")
		}
		select {
		case <-ctx.Done():
			return nil, problem.Wrap(problem.Unavailable, ctx.Err(), "the access token was not renewed in time")
		case <-time.After(pollTime):
		}
		now, err := r.Flows.Held(ctx, pc, id)
		if err != nil {
			return nil, err
		}
		if !now.Same(h) {
			return now.Address, nil
		}
	}
}

// renewHeld renews under the lease.
func (r *Renewer) renewHeld(ctx context.Context, t *tenant.Tenant, pc, id string, h *flowstore.HeldAddress, holder string) (_ *dps.DataAddress, err error) {
	log := r.Log.With().Str("participant_context", pc).Str("process_id", id).Logger()
	defer func() { // whoever asked may have gone
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
		defer cancel()
		var rerr error
		if problem.Is(err, problem.Conflict) {
			rerr = r.Flows.RenewRefuse(end, pc, id, holder, h, refusedTime)
		} else {
			rerr = r.Flows.RenewRelease(end, pc, id, holder)
		}
		if rerr != nil {
			log.Warn().Err(rerr).Msg("the right to renew ends by itself")
		}
	}()
	now, err := r.Flows.Held(ctx, pc, id)
	if err != nil {
		return nil, err
	}
	if !now.Same(h) { // the one who held the lease before has done it
		return now.Address, nil
	}
	began := time.Now()
	fresh, err := r.ask(ctx, t, h)
	if err != nil {
		return nil, err
	}
	if err := dps.ValidateAddress(fresh, h.Profile, r.AllowPlainHTTP); err != nil {
		return nil, problem.Wrap(problem.Upstream, err, "the renewed data address is not usable")
	}
	ok, err := r.Flows.Renewed(ctx, pc, id, h, fresh, began)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, problem.New(problem.Unavailable, "the data flow changed while its access token was renewed")
	}
	log.Info().Dur("duration", time.Since(began)).Msg("access token renewed")
	return fresh, nil
}

// signer is the key of a tenant.
func (r *Renewer) signer(k tenant.RenewalKey) did.Signer {
	if k.File != "" {
		return did.FileKey{File: k.File}
	}
	v := k.Vault
	return did.VaultKey{
		URL: v.URL, TokenFile: v.TokenFile, Mount: v.Mount, Key: v.Key, Version: v.Version, Algorithm: v.Algorithm, Namespace: v.Namespace, HTTP: r.Vault,
	}
}

const textRefused = "the other side refuses to renew the access token"

func errRefused() error { return problem.New(problem.Conflict, textRefused) }
