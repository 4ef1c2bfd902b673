package outbox_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tidegate/tidegate/dps-gateway/internal/keys"
	"github.com/tidegate/tidegate/dps-gateway/internal/outbox"
	"github.com/tidegate/tidegate/dps-gateway/internal/redistest"
)

// shares counts the shards of each holder.
func shares(t *testing.T, rdb redis.UniversalClient) map[string]int {
	t.Helper()
	n := map[string]int{}
	for i := range keys.Shards {
		holder, err := rdb.Get(context.Background(), keys.OutboxLease(i)).Result()
		if err != nil && err != redis.Nil { //nolint:errorlint // go-redis documents Nil as a plain sentinel
			t.Fatal(err)
		}
		if holder != "" {
			n[holder]++
		}
	}
	return n
}

// fair tells whether all shards are held, by so many relays, none of which has more than its share.
func fair(t *testing.T, rdb redis.UniversalClient, relays int) bool {
	t.Helper()
	held, sum := shares(t, rdb), 0
	for _, n := range held {
		if sum += n; n > (keys.Shards+relays-1)/relays {
			return false
		}
	}
	return len(held) == relays && sum == keys.Shards
}

func TestRelaysShareTheShardsAsTheyComeAndGo(t *testing.T) {
	for name, open := range redistest.Kinds() {
		t.Run(name, func(t *testing.T) {
			rdb := open(t)
			s := newStand(rdb)
			to := &sink{}
			s.run(t, s.config(to))
			eventually(t, "one holds all", func() bool { return fair(t, rdb, 1) })
			stop := s.run(t, s.config(to))
			eventually(t, "two share", func() bool { return fair(t, rdb, 2) })
			s.run(t, s.config(to))
			eventually(t, "three share", func() bool { return fair(t, rdb, 3) })
			stop()
			begin := time.Now()
			eventually(t, "two share again", func() bool { return fair(t, rdb, 2) })
			if took := time.Since(begin); took > 4*time.Second {
				t.Errorf("what one gave back was taken up after %v", took)
			}
		})
	}
}

// load appends revisions of flows of many tenants until stop is called, and returns how many of each flow.
func (s *stand) load(t *testing.T, tenants int) (stop func() map[string]int64) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	appended := map[string]int64{}
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			pc, flow := fmt.Sprint("tenant-", rand.IntN(tenants)), fmt.Sprint("f", rand.IntN(2))
			name := pc + "/" + flow
			if err := s.writer.Append(context.Background(), entry(pc, flow, appended[name]+1)); err != nil {
				t.Error(err)
				return
			}
			appended[name]++
			time.Sleep(500 * time.Microsecond) // a pace, so that relays keep up
		}
	}()
	stop = sync.OnceValue(func() map[string]int64 {
		cancel()
		<-done
		return appended
	})
	t.Cleanup(func() { stop() })
	return stop
}

// TestHandingOverKeepsTheOrderAndSendsNothingTwice lets relays come and go in order, under load.
func TestHandingOverKeepsTheOrderAndSendsNothingTwice(t *testing.T) {
	rdb, _ := redistest.Server(t)
	s := newStand(rdb)
	to := &sink{behave: func(context.Context, *outbox.Entry, int) error {
		time.Sleep(time.Duration(rand.IntN(3)) * time.Millisecond)
		return nil
	}}
	s.run(t, s.config(to))
	stopLoad := s.load(t, 40)
	second := s.run(t, s.config(to))
	eventually(t, "two share", func() bool { return fair(t, rdb, 2) })
	s.run(t, s.config(to))
	eventually(t, "three share", func() bool { return fair(t, rdb, 3) })
	second()
	eventually(t, "two share again", func() bool { return fair(t, rdb, 2) })
	appended := stopLoad()
	eventually(t, "all are through", func() bool { return s.left(t) == 0 })
	last := map[string]int64{}
	for _, name := range to.names() {
		flow, rev := revisionOf(name)
		if rev != last[flow]+1 {
			t.Fatalf("%s: %d came after %d", flow, rev, last[flow])
		}
		last[flow] = rev
	}
	for flow, n := range appended {
		if last[flow] != n {
			t.Errorf("%s: %d of %d arrived", flow, last[flow], n)
		}
	}
}

// TestThreeRelaysKilledAtRandom breaks relays off under load, which give nothing back, and starts others in their place.
func TestThreeRelaysKilledAtRandom(t *testing.T) {
	rdb, _ := redistest.Server(t)
	s := newStand(rdb)
	to := &sink{behave: func(ctx context.Context, _ *outbox.Entry, _ int) error {
		select {
		case <-time.After(time.Duration(rand.IntN(4)) * time.Millisecond):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}}
	start := func() (kill func()) {
		own := redis.NewUniversalClient(&redis.UniversalOptions{Addrs: []string{addr(t, rdb)}, DisableIdentity: true})
		cfg := (&stand{parked: s.parked}).config(to)
		cfg.Drain = time.Nanosecond
		stop := (&stand{rdb: own, bell: outbox.NewBell()}).run(t, cfg)
		return func() {
			_ = own.Close() // from here on it reaches Redis no more
			stop()
		}
	}
	kills := []func(){start(), start(), start()}
	defer func() {
		for _, kill := range kills {
			kill()
		}
	}()
	stopLoad := s.load(t, 40)
	for range 4 {
		before := len(to.names())
		eventually(t, "it goes on", func() bool { return len(to.names()) > before+200 })
		i := rand.IntN(len(kills))
		kills[i]()
		kills[i] = start()
	}
	appended := stopLoad()
	eventually(t, "all are through", func() bool { return s.left(t) == 0 })
	eventually(t, "three share", func() bool { return fair(t, rdb, 3) })
	last := map[string]int64{}
	for _, name := range to.names() {
		flow, rev := revisionOf(name)
		if rev > last[flow]+1 {
			t.Fatalf("%s: %d came first, after %d", flow, rev, last[flow])
		}
		last[flow] = max(last[flow], rev)
	}
	for flow, n := range appended {
		if last[flow] != n {
			t.Errorf("%s: %d of %d arrived", flow, last[flow], n)
		}
	}
}

func revisionOf(name string) (flow string, rev int64) {
	i := strings.LastIndexByte(name, '/')
	_, _ = fmt.Sscan(name[i+1:], &rev) // the test's own names
	return name[:i], rev
}
