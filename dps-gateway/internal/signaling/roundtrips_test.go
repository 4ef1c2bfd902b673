package signaling_test

import (
	"context"
	"net"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/tidegate/tidegate/dps-gateway/internal/redistest"
)

// counter counts what goes to Redis: single commands and pipelines, each a round trip.
type counter struct{ n atomic.Int64 }

func (c *counter) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

func (c *counter) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error { c.n.Add(1); return next(ctx, cmd) }
}

func (c *counter) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error { c.n.Add(1); return next(ctx, cmds) }
}

// TestASignalIsOneRoundTrip counts what each signal costs in Redis, with token mark, decision, dataset and outbox entry.
func TestASignalIsOneRoundTrip(t *testing.T) {
	rdb, _ := redistest.Mini(t)
	w := newWorld(t, rdb)
	w.approve("provider", "agr-1", "asset-1", "them-id")
	c := &counter{}
	// The first use of each script loads it.
	w.signal("provider", "start", flowMessage("m", "warm"))
	w.signal("provider", "warm/suspend", `{"messageId":"m2"}`)
	w.signal("provider", "warm/resume", `{"messageId":"m3"}`)
	rdb.AddHook(c)
	for _, call := range []struct {
		pc, rest, body string
		want           int64
	}{
		{"provider", "start", flowMessage("m1", "tp"), 1},
		{"provider", "start", flowMessage("m1", "tp"), 1},
		{"provider", "tp/suspend", `{"messageId":"m2"}`, 1},
		{"provider", "tp/resume", `{"messageId":"m3"}`, 2}, // what the fresh token is bound to is read first
		{"provider", "tp/completed", `{}`, 1},
		{"consumer", "prepare", flowMessage("m1", "tpc"), 1},
		{"consumer", "tpc/started", startedMessage("m2", "https://p.example/", "t"), 1},
		{"consumer", "tpc/terminate", `{"messageId":"m4"}`, 1},
		{"consumer", "prepare", asPush(flowMessage("m1", "tpp")), 1},
		{"consumer", "tpp/started", `{"messageId":"m2"}`, 1},
	} {
		c.n.Store(0)
		if a := w.signal(call.pc, call.rest, call.body); a.code != http.StatusOK {
			t.Fatalf("%s: %d %s", call.rest, a.code, a.body)
		}
		if n := c.n.Load(); n != call.want {
			t.Errorf("%s: %d round trips, want %d", call.rest, n, call.want)
		}
	}
}
