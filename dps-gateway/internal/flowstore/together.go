package flowstore

import (
	"context"
	"sync"

	"github.com/redis/go-redis/v9"

	"github.com/tidegate/tidegate/dps-gateway/internal/keys"
)

const (
	togetherFlights = 2  // round trips of a lane under way at once
	togetherMost    = 64 // calls in one
)

// together makes script calls. Those that come while others are under way share the next round trip: one write and one read of a
// socket for many, here and in Redis. A call that comes alone is sent alone, at once.
type together struct {
	rdb   redis.UniversalClient
	lanes []lane // one, or on Cluster one a shard, so that no call waits for a node that is not its own
}

func newTogether(rdb redis.UniversalClient) *together {
	n := 1
	if _, ok := rdb.(*redis.ClusterClient); ok {
		n = keys.Shards
	}
	return &together{rdb: rdb, lanes: make([]lane, n)}
}

type lane struct {
	mu      sync.Mutex
	flights int
	waiting []*call
}

type call struct {
	script *redis.Script
	keys   []string
	args   []any
	done   chan *redis.Cmd
}

// run calls a script on keys of a tenant. A caller that goes away leaves its call to be made.
func (t *together) run(ctx context.Context, pc string, script *redis.Script, names []string, args []any) *redis.Cmd {
	l := &t.lanes[keys.Shard(pc)%len(t.lanes)]
	l.mu.Lock()
	if l.flights < togetherFlights {
		l.flights++
		l.mu.Unlock()
		cmd := script.Run(ctx, t.rdb, names, args...)
		if batch := l.next(); batch != nil {
			go t.fly(context.WithoutCancel(ctx), l, batch)
		}
		return cmd
	}
	c := &call{script: script, keys: names, args: args, done: make(chan *redis.Cmd, 1)}
	l.waiting = append(l.waiting, c)
	l.mu.Unlock()
	select {
	case cmd := <-c.done:
		return cmd
	case <-ctx.Done():
		return failed(ctx, ctx.Err())
	}
}

// next takes what waits; nil ends the flight.
func (l *lane) next() []*call {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := min(len(l.waiting), togetherMost)
	if n == 0 {
		l.flights--
		return nil
	}
	batch := l.waiting[:n:n]
	if l.waiting = l.waiting[n:]; len(l.waiting) == 0 {
		l.waiting = nil
	}
	return batch
}

// fly makes round trips until nobody waits. Redis' time limits bound each.
func (t *together) fly(ctx context.Context, l *lane, batch []*call) {
	for ; batch != nil; batch = l.next() {
		cmds := make([]*redis.Cmd, len(batch))
		_, _ = t.rdb.Pipelined(ctx, func(p redis.Pipeliner) error { // each command holds its own error
			for i, c := range batch {
				cmds[i] = c.script.EvalSha(ctx, p, c.keys, c.args...)
			}
			return nil
		})
		for i, c := range batch {
			if redis.HasErrorPrefix(cmds[i].Err(), "NOSCRIPT") {
				cmds[i] = c.script.Eval(ctx, t.rdb, c.keys, c.args...)
			}
			c.done <- cmds[i]
		}
	}
}

func failed(ctx context.Context, err error) *redis.Cmd {
	cmd := redis.NewCmd(ctx)
	cmd.SetErr(err)
	return cmd
}
