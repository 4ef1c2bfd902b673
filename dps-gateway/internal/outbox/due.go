package outbox

import (
	"context"
	_ "embed"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tidegate/tidegate/dps-gateway/internal/keys"
)

// A flow that waits for its function's report has a time until which it may, which stands in a sorted set of its shard. What is due
// becomes an entry of the outbox, and is from then on sent, tried again or parked like any other. The relay that holds the shard looks
// after it; since each flow is moved in one step of Redis, it does no harm if two do for a moment. Nothing is held in memory meanwhile.

//go:embed due.lua
var dueSource string

var dueScript = redis.NewScript(dueSource)

const (
	dueEvery = time.Second
	dueMost  = 100 // flows of a shard at once
)

// FallDue appends an entry of LaneOverdue for each flow of some shards that is due, up to a number, and tells of which shards there were any.
func FallDue(ctx context.Context, rdb redis.UniversalClient, shards []int) (fell []int, err error) {
	if len(shards) == 0 {
		return nil, nil
	}
	cmds, err := onShards(ctx, rdb, dueScript, shards, func(shard int) []string { return []string{keys.Due(shard), keys.Outbox(shard)} }, string(LaneOverdue), dueMost)
	for i, c := range cmds {
		if n, cerr := c.Int(); cerr == nil && n > 0 {
			fell = append(fell, shards[i])
		}
	}
	return fell, err
}

// sweepDue has flows of the shards that are held fall due, until ctx ends.
func (r *Relay) sweepDue(ctx context.Context) {
	tick := time.NewTicker(dueEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for shards := r.holding(); len(shards) > 0; { // those that had some may have more
			var err error
			if shards, err = FallDue(ctx, r.rdb, shards); err != nil && ctx.Err() == nil {
				r.log.Warn().Err(err).Msg("outbox: flows that are due can't be looked for")
				break
			}
			for _, shard := range shards {
				r.bell.ring(shard)
			}
		}
	}
}
