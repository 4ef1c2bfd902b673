package outbox

import (
	"context"
	_ "embed"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tidegate/tidegate/dps-gateway/internal/keys"
)

var (
	//go:embed lease.lua
	leaseSource string
	//go:embed release.lua
	releaseSource string

	leaseScript   = redis.NewScript(leaseSource)
	releaseScript = redis.NewScript(releaseSource)
)

// The lease of a shard is renewed every leaseEvery and ends leaseTTL after the last renewal: another replica takes over
// within leaseTTL + leaseEvery = 5 s of its holder's death. The holder itself stops leaseMargin earlier, by its own clock.
const (
	leaseTTL    = 4 * time.Second
	leaseEvery  = time.Second
	leaseMargin = 500 * time.Millisecond
)

// leases tries to take or renew all leases, in one round trip, and returns which shards are held until when.
func (r *Relay) leases(ctx context.Context) (held [keys.Shards]bool, until time.Time, err error) {
	until = time.Now().Add(leaseTTL - leaseMargin) // counted from before the request
	ctx, cancel := context.WithTimeout(ctx, leaseEvery)
	defer cancel()
	cmds := make([]*redis.Cmd, keys.Shards)
	_, err = r.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i := range cmds {
			cmds[i] = leaseScript.EvalSha(ctx, p, []string{keys.OutboxLease(i)}, r.name, leaseTTL.Milliseconds())
		}
		return nil
	})
	if err != nil && redis.HasErrorPrefix(err, "NOSCRIPT") {
		_, err = r.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
			for i := range cmds {
				cmds[i] = leaseScript.Eval(ctx, p, []string{keys.OutboxLease(i)}, r.name, leaseTTL.Milliseconds())
			}
			return nil
		})
	}
	for i, c := range cmds { // on Cluster some may have come through
		n, cerr := c.Int()
		held[i] = cerr == nil && n == 1
	}
	return held, until, err
}

// release gives all leases back, so that another replica goes on at once.
func (r *Relay) release(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, leaseEvery)
	defer cancel()
	if _, err := r.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i := range keys.Shards {
			releaseScript.Eval(ctx, p, []string{keys.OutboxLease(i)}, r.name)
		}
		return nil
	}); err != nil {
		r.log.Debug().Err(err).Msg("leases were not given back: they end by themselves")
	}
}
