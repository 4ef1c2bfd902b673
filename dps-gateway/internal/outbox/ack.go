package outbox

import (
	"context"

	"github.com/redis/go-redis/v9"

	"github.com/tidegate/tidegate/dps-gateway/internal/keys"
)

// ack says that an entry was accepted by the other side.
type ack struct {
	shard *shard
	id    string
}

// acknowledge removes accepted entries from their streams, many in one round trip. What Redis does not take is tried again;
// if the process dies before, the entry is sent again.
func (r *Relay) acknowledge(ctx context.Context) {
	for {
		var batch map[*shard][]string
		select {
		case a := <-r.acks:
			batch = map[*shard][]string{a.shard: {a.id}}
			pause(ctx, r.cfg.Gather)
		case <-ctx.Done():
			r.removeLast(ctx, nil)
			return
		}
		batch = r.waiting(batch)
		for try := 1; !r.remove(ctx, batch); try++ {
			if !pause(ctx, r.backoff(try, nil)) {
				r.removeLast(ctx, batch)
				return
			}
		}
	}
}

// removeLast removes what was not removed when the relay ended, and what waits: nobody sends any more.
func (r *Relay) removeLast(ctx context.Context, batch map[*shard][]string) {
	if batch = r.waiting(batch); len(batch) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaseEvery)
	defer cancel()
	r.remove(ctx, batch)
}

func (r *Relay) waiting(batch map[*shard][]string) map[*shard][]string {
	for range ackBatch {
		select {
		case a := <-r.acks:
			if batch == nil {
				batch = map[*shard][]string{}
			}
			batch[a.shard] = append(batch[a.shard], a.id)
		default:
			return batch
		}
	}
	return batch
}

func (r *Relay) remove(ctx context.Context, batch map[*shard][]string) bool {
	_, err := r.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for s, ids := range batch {
			p.XDel(ctx, keys.Outbox(s.number), ids...)
		}
		return nil
	})
	if err != nil {
		r.log.Warn().Err(err).Msg("outbox: accepted entries can't be removed yet")
		return false
	}
	for s, ids := range batch {
		s.removed(len(ids))
		r.freed(s, len(ids))
	}
	return true
}

// freed makes room for n more entries.
func (r *Relay) freed(s *shard, n int) {
	if s.done(n) {
		r.bell.ring(s.number)
	}
}
