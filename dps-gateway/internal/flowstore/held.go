package flowstore

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tidegate/tidegate/dps-gateway/internal/keys"
	"github.com/tidegate/tidegate/shared/dps"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/problem"
)

//go:embed renewlease.lua
var renewLeaseSource string

//go:embed renewed.lua
var renewedSource string

var (
	renewLeaseScript = redis.NewScript(renewLeaseSource)
	renewedScript    = redis.NewScript(renewedSource)
	renewFreeScript  = redis.NewScript(`return redis.call('GET', KEYS[1]) == ARGV[1] and redis.call('DEL', KEYS[1]) or 0`)
	renewNoScript    = redis.NewScript(`return redis.call('GET', KEYS[1]) == ARGV[1] and redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) or 0`)
)

// HeldAddress is a data address that the other side made, with what renewing it needs.
type HeldAddress struct {
	Address        *dps.DataAddress // a secret
	State          dps.State
	Role           dps.Role
	Direction      dps.Direction
	Profile        string
	CounterPartyID string
	Since          time.Time // when it came, or a little later
	raw            string
}

// Same tells whether two are one and the same address.
func (h *HeldAddress) Same(other *HeldAddress) bool { return h.raw == other.raw }

// Held reads the data address of a flow; NotFound if there is none.
func (s *Redis) Held(ctx context.Context, pc, id string) (*HeldAddress, error) {
	v, err := s.rdb.HMGet(ctx, keys.Flow(pc, id), "addr", "state", "head", "step", "addrat").Result()
	if err != nil {
		return nil, unavailable(err)
	}
	var f gatewayapi.Flow
	readHead(text(v, 2), &f) // not there: nor is an address
	h := &HeldAddress{
		raw: text(v, 0), State: dps.State(text(v, 1)), Role: f.Role, Direction: f.Direction, Profile: f.Profile, CounterPartyID: f.CounterPartyID,
		Since: time.UnixMilli(max(readStep(text(v, 3)).at, number(text(v, 4)))), // the last signal brought it, or a renewal since
	}
	if h.raw == "" {
		return nil, problem.New(problem.NotFound, "no data address of a data flow %q", id)
	}
	if err := json.Unmarshal([]byte(h.raw), &h.Address); err != nil {
		return nil, problem.Wrap(problem.Internal, err, "the stored data address")
	}
	return h, nil
}

// Renewed puts a renewed address in the place of the one that was renewed; false if that is not the flow's any more.
func (s *Redis) Renewed(ctx context.Context, pc, id string, old *HeldAddress, address *dps.DataAddress, now time.Time) (bool, error) {
	b, err := json.Marshal(address)
	if err != nil {
		return false, problem.Wrap(problem.Internal, err, "the data address")
	}
	n, err := renewedScript.Run(ctx, s.rdb, []string{keys.Flow(pc, id)}, old.raw, string(b), now.UnixMilli()).Int()
	if err != nil {
		return false, unavailable(err)
	}
	return n == 1, nil
}

// RenewLease is the outcome of RenewClaim.
type RenewLease string

// The outcomes.
const (
	RenewHeld    RenewLease = "held"
	RenewBusy    RenewLease = "busy"
	RenewRefused RenewLease = "refused"
)

// RenewClaim takes the right to renew a flow's address: one holder at a time across all replicas, for ttl at most.
func (s *Redis) RenewClaim(ctx context.Context, pc, id, holder string, h *HeldAddress, ttl time.Duration) (RenewLease, error) {
	out, err := renewLeaseScript.Run(ctx, s.rdb, []string{keys.Renewal(pc, id)}, holder, ttl.Milliseconds(), refusedMark(h)).Text()
	if err != nil {
		return "", unavailable(err)
	}
	return RenewLease(out), nil
}

// RenewRelease gives the right back.
func (s *Redis) RenewRelease(ctx context.Context, pc, id, holder string) error {
	if err := renewFreeScript.Run(ctx, s.rdb, []string{keys.Renewal(pc, id)}, holder).Err(); err != nil {
		return unavailable(err)
	}
	return nil
}

// RenewRefuse gives the right back and notes that the other side has refused this address, so that it is not asked again at once.
func (s *Redis) RenewRefuse(ctx context.Context, pc, id, holder string, h *HeldAddress, ttl time.Duration) error {
	if err := renewNoScript.Run(ctx, s.rdb, []string{keys.Renewal(pc, id)}, holder, refusedMark(h), ttl.Milliseconds()).Err(); err != nil {
		return unavailable(err)
	}
	return nil
}

func refusedMark(h *HeldAddress) string {
	sum := sha256.Sum256([]byte(h.raw))
	return "refused:" + hex.EncodeToString(sum[:])
}
