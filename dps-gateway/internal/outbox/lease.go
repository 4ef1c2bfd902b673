package outbox

import (
	"context"
	_ "embed"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tidegate/tidegate/dps-gateway/internal/keys"
)

var (
	//go:embed lease.lua
	leaseSource string
	//go:embed release.lua
	releaseSource string
	//go:embed register.lua
	registerSource string

	leaseScript    = redis.NewScript(leaseSource)
	releaseScript  = redis.NewScript(releaseSource)
	registerScript = redis.NewScript(registerSource)
)

// The lease of a shard is renewed every leaseEvery and ends leaseTTL after the last renewal: another replica takes over
// within leaseTTL + leaseEvery = 5 s of its holder's death. The holder itself stops leaseMargin earlier, by its own clock.
const (
	leaseTTL    = 4 * time.Second
	leaseEvery  = time.Second
	leaseMargin = 500 * time.Millisecond
	silence     = 3 * time.Second // after which a relay counts no more: its leases end about then
)

// leases renews the leases that are held and takes free ones up to this relay's share, and returns which shards are held until when.
// It takes one round trip, and one more while the share is not reached.
func (r *Relay) leases(ctx context.Context) (held [keys.Shards]bool, until time.Time, err error) {
	until = time.Now().Add(leaseTTL - leaseMargin) // counted from before the request
	ctx, cancel := context.WithTimeout(ctx, leaseEvery)
	defer cancel()
	had := r.holding()
	count := registerScript.Run(ctx, r.rdb, []string{keys.Relays}, r.name, silence.Milliseconds())
	n, err := count.Int()
	if err == nil {
		r.share = (keys.Shards + max(n, 1) - 1) / max(n, 1)
	}
	want := had
	if missing := r.share - len(had); err == nil && missing > 0 {
		free, ferr := r.free(ctx, had)
		err = ferr
		rand.Shuffle(len(free), func(i, j int) { free[i], free[j] = free[j], free[i] }) //nolint:gosec // spreads load, guards nothing
		want = append(want, free[:min(missing, len(free))]...)
	}
	if len(want) == 0 {
		return held, until, err
	}
	cmds, lerr := r.lease(ctx, want)
	for i, c := range cmds { // on Cluster some may have come through
		n, cerr := c.Int()
		held[want[i]] = cerr == nil && n == 1
	}
	return held, until, errors.Join(err, lerr)
}

// lease takes or renews the leases of shards.
func (r *Relay) lease(ctx context.Context, shards []int) ([]*redis.Cmd, error) {
	return onShards(ctx, r.rdb, leaseScript, shards, func(shard int) []string { return []string{keys.OutboxLease(shard)} }, r.name, leaseTTL.Milliseconds())
}

// onShards calls a script on each of some shards, in one round trip if Redis knows it. A call may fail and others not, on Cluster.
func onShards(ctx context.Context, rdb redis.UniversalClient, script *redis.Script, shards []int, names func(shard int) []string, args ...any) ([]*redis.Cmd, error) {
	cmds := make([]*redis.Cmd, len(shards))
	_, err := rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, shard := range shards {
			cmds[i] = script.EvalSha(ctx, p, names(shard), args...)
		}
		return nil
	})
	if err != nil && redis.HasErrorPrefix(err, "NOSCRIPT") {
		_, err = rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
			for i, shard := range shards {
				cmds[i] = script.Eval(ctx, p, names(shard), args...)
			}
			return nil
		})
	}
	return cmds, err
}

// free finds the shards that nobody holds.
func (r *Relay) free(ctx context.Context, had []int) (free []int, err error) {
	taken := map[int]*redis.IntCmd{}
	_, err = r.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i := range keys.Shards {
			if !slices.Contains(had, i) {
				taken[i] = p.Exists(ctx, keys.OutboxLease(i))
			}
		}
		return nil
	})
	for i, c := range taken {
		if n, cerr := c.Result(); cerr == nil && n == 0 {
			free = append(free, i)
		}
	}
	return free, err
}

// release gives leases back, so that another replica goes on at once.
func (r *Relay) release(ctx context.Context, shards []int) {
	ctx, cancel := context.WithTimeout(ctx, leaseEvery)
	defer cancel()
	if _, err := r.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for _, shard := range shards {
			releaseScript.Eval(ctx, p, []string{keys.OutboxLease(shard)}, r.name)
		}
		return nil
	}); err != nil {
		r.log.Debug().Err(err).Msg("leases were not given back: they end by themselves")
	}
}

// leave gives everything back.
func (r *Relay) leave(ctx context.Context) {
	all := make([]int, keys.Shards)
	for i := range all {
		all[i] = i
	}
	r.release(ctx, all)
	ctx, cancel := context.WithTimeout(ctx, leaseEvery)
	defer cancel()
	if err := r.rdb.ZRem(ctx, keys.Relays, r.name).Err(); err != nil {
		r.log.Debug().Err(err).Msg("the relay's name was not removed: it ends by itself")
	}
}
