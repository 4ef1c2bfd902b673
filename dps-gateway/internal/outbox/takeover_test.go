package outbox_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/tidegate/tidegate/dps-gateway/internal/outbox"
	"github.com/tidegate/tidegate/dps-gateway/internal/redistest"
)

// TestAHolderThatDiesIsReplaced lets a relay hang in the middle of a send and lose its connection for good, as a killed process
// does: its lease is never given back.
func TestAHolderThatDiesIsReplaced(t *testing.T) {
	for name, open := range redistest.Kinds() {
		t.Run(name, func(t *testing.T) {
			rdb := open(t)
			s := newStand(rdb)
			dead := &sink{behave: func(ctx context.Context, e *outbox.Entry, _ int) error {
				if e.Revision == 2 {
					<-ctx.Done()
					return ctx.Err()
				}
				return nil
			}}
			own := redis.NewUniversalClient(&redis.UniversalOptions{Addrs: []string{addr(t, rdb)}, DisableIdentity: true})
			victim := &stand{rdb: own, bell: outbox.NewBell(), writer: s.writer, parked: s.parked}
			cfg := victim.config(dead)
			cfg.Drain = time.Millisecond
			stop := victim.run(t, cfg)
			for rev := range int64(4) {
				s.append(t, "a", "flow", rev+1)
			}
			eventually(t, "the first is accepted, the second hangs", func() bool {
				dead.mu.Lock()
				defer dead.mu.Unlock()
				return dead.tries["a/flow/2"] == 1
			})
			eventually(t, "the first is acknowledged", func() bool { return s.left(t) == 3 })
			_ = own.Close() // from here on the victim reaches Redis no more
			killed := time.Now()
			heir := &sink{}
			s.run(t, s.config(heir))
			eventually(t, "the heir delivers the rest", func() bool { return len(heir.names()) == 3 && s.left(t) == 0 })
			if took := time.Since(killed); took > 15*time.Second {
				t.Errorf("taken over after %v", took)
			}
			if d := cmp.Diff([]string{"a/flow/2", "a/flow/3", "a/flow/4"}, heir.names()); d != "" {
				t.Error(d)
			}
			stop()
			if d := cmp.Diff([]string{"a/flow/1"}, dead.names()); d != "" {
				t.Error(d)
			}
		})
	}
}

func addr(t *testing.T, rdb redis.UniversalClient) string {
	t.Helper()
	c, ok := rdb.(*redis.Client)
	if !ok {
		t.Fatal("no single client")
	}
	return c.Options().Addr
}

func TestARelayThatEndsHandsOverAtOnce(t *testing.T) {
	rdb, _ := redistest.Mini(t)
	s := newStand(rdb)
	first, second := &sink{}, &sink{}
	stop := s.run(t, s.config(first))
	s.append(t, "a", "flow", 1)
	eventually(t, "the first delivers", func() bool { return len(first.names()) == 1 })
	stop()
	s.append(t, "a", "flow", 2)
	begin := time.Now()
	s.run(t, s.config(second))
	eventually(t, "the second delivers", func() bool { return len(second.names()) == 1 })
	if took := time.Since(begin); took > 2*time.Second {
		t.Errorf("took over after %v", took)
	}
}

func TestWhatAnotherReplicaAppendsIsFoundByPolling(t *testing.T) {
	rdb, _ := redistest.Mini(t)
	s := newStand(rdb)
	to := &sink{}
	s.run(t, s.config(to))
	s.append(t, "a", "flow", 1)
	eventually(t, "it runs", func() bool { return len(to.names()) == 1 })
	other := outbox.NewWriter(rdb, nil)
	begin := time.Now()
	if err := other.Append(t.Context(), entry("a", "flow", 2)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "found", func() bool { return len(to.names()) == 2 })
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("found after %v", took)
	}
}

// TestKilledAgainAndAgain abandons relays in the middle, again and again; every entry arrives, and within each flow the first
// arrivals are in order.
func TestKilledAgainAndAgain(t *testing.T) {
	rdb, _ := redistest.Mini(t)
	s := newStand(rdb)
	to := &sink{behave: func(ctx context.Context, _ *outbox.Entry, _ int) error {
		select {
		case <-time.After(time.Duration(rand.IntN(4)) * time.Millisecond):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}}
	const flows, revisions = 20, 15
	for rev := range int64(revisions) {
		for f := range flows {
			s.append(t, "a", fmt.Sprint("f", f), rev+1)
		}
	}
	for range 6 {
		cfg := s.config(to)
		cfg.Drain = time.Nanosecond // sends under way are broken off
		stop := s.run(t, cfg)
		eventually(t, "it goes on", func(n int) func() bool { return func() bool { return len(to.names()) > n+5 || s.left(t) == 0 } }(len(to.names())))
		stop()
	}
	s.run(t, s.config(to))
	eventually(t, "all are through", func() bool { return s.left(t) == 0 })
	last := map[string]int{}
	for _, name := range to.names() {
		flow, rev := name[:strings.LastIndexByte(name, '/')], 0
		_, _ = fmt.Sscan(name[strings.LastIndexByte(name, '/')+1:], &rev)
		if rev > last[flow]+1 {
			t.Fatalf("%s: %d came first, after %d", flow, rev, last[flow])
		}
		last[flow] = max(last[flow], rev)
	}
	for flow, rev := range last {
		if rev != revisions {
			t.Errorf("%s ends at %d", flow, rev)
		}
	}
	if len(last) != flows {
		t.Errorf("%d flows arrived", len(last))
	}
}
