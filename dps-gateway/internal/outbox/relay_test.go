package outbox_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"github.com/tidegate/tidegate/dps-gateway/internal/keys"
	"github.com/tidegate/tidegate/dps-gateway/internal/outbox"
	"github.com/tidegate/tidegate/dps-gateway/internal/parked"
	"github.com/tidegate/tidegate/dps-gateway/internal/redistest"
	"github.com/tidegate/tidegate/shared/problem"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// sink is the other side: it remembers what it accepted, and misbehaves on request.
type sink struct {
	mu       sync.Mutex
	accepted []string
	tries    map[string]int
	behave   func(ctx context.Context, e *outbox.Entry, try int) error
}

func (s *sink) Send(ctx context.Context, e *outbox.Entry) error {
	name := e.PC + "/" + e.Subject + "/" + fmt.Sprint(e.Revision)
	s.mu.Lock()
	if s.tries == nil {
		s.tries = map[string]int{}
	}
	s.tries[name]++
	try := s.tries[name]
	s.mu.Unlock()
	if s.behave != nil {
		if err := s.behave(ctx, e, try); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accepted = append(s.accepted, name)
	return nil
}

func (s *sink) names() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.accepted)
}

// stand is an outbox with a relay, quick in everything.
type stand struct {
	rdb    redis.UniversalClient
	bell   *outbox.Bell
	writer *outbox.Writer
	parked *parked.Store
}

func newStand(rdb redis.UniversalClient) *stand {
	bell := outbox.NewBell()
	return &stand{rdb: rdb, bell: bell, writer: outbox.NewWriter(rdb, bell), parked: parked.New(rdb, bell)}
}

func (s *stand) config(to outbox.Sender) outbox.Config {
	return outbox.Config{
		Senders: map[outbox.Lane]outbox.Sender{outbox.LaneEvent: to, outbox.LaneCallback: to, outbox.LaneTerminate: to},
		Parker:  s.parked, Backoff: 5 * time.Millisecond, MaxPause: 50 * time.Millisecond, MinTries: 3, Drain: 2 * time.Second,
	}
}

// run runs a relay until stop is called or the test ends.
func (s *stand) run(t *testing.T, cfg outbox.Config) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		outbox.NewRelay(s.rdb, s.bell, cfg, zerolog.Nop()).Run(ctx)
	}()
	stop = sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(stop)
	return stop
}

func (s *stand) append(t *testing.T, pc, subject string, revision int64) {
	t.Helper()
	if err := s.writer.Append(t.Context(), entry(pc, subject, revision)); err != nil {
		t.Fatal(err)
	}
}

func entry(pc, subject string, revision int64) *outbox.Entry {
	return &outbox.Entry{PC: pc, Lane: outbox.LaneEvent, Kind: "io.tidegate.dataflow.started.v1", Subject: subject, Revision: revision, At: time.Now()}
}

func (s *stand) left(t *testing.T) (n int64) {
	t.Helper()
	for i := range keys.Shards {
		l, err := s.rdb.XLen(context.Background(), keys.Outbox(i)).Result()
		if err != nil {
			t.Fatal(err)
		}
		n += l
	}
	return n
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within a minute: %s", what)
		}
	}
}

func TestEverythingArrivesInOrderWithinAFlowAndLeavesNothing(t *testing.T) {
	for name, open := range redistest.Kinds() {
		t.Run(name, func(t *testing.T) {
			rdb := open(t)
			s := newStand(rdb)
			to := &sink{behave: func(_ context.Context, _ *outbox.Entry, try int) error {
				if try < 3 && rand.IntN(3) == 0 {
					return problem.New(problem.Unavailable, "not now")
				}
				return nil
			}}
			s.run(t, s.config(to))
			want := 0
			for rev := range int64(20) {
				for _, pc := range []string{"a", "b", "c"} {
					for flow := range 10 {
						s.append(t, pc, fmt.Sprint("flow-", flow), rev+1)
						want++
					}
				}
			}
			eventually(t, "all are accepted and removed", func() bool { return len(to.names()) == want && s.left(t) == 0 })
			seen := map[string]int{}
			for _, name := range to.names() {
				flow, rev := name[:strings.LastIndexByte(name, '/')], 0
				if _, err := fmt.Sscan(name[strings.LastIndexByte(name, '/')+1:], &rev); err != nil {
					t.Fatal(err)
				}
				if rev != seen[flow]+1 {
					t.Fatalf("%s: %d after %d", flow, rev, seen[flow])
				}
				seen[flow] = rev
			}
		})
	}
}

func TestOnCluster(t *testing.T) {
	s := newStand(redistest.Cluster3(t))
	to := &sink{behave: func(_ context.Context, e *outbox.Entry, _ int) error {
		if e.Subject == "poison" {
			return problem.New(problem.Invalid, "no")
		}
		return nil
	}}
	s.run(t, s.config(to))
	for _, pc := range []string{"a", "b", "c", "d", "e", "f"} {
		s.append(t, pc, "flow", 1)
		s.append(t, pc, "poison", 1)
	}
	eventually(t, "all arrive or are parked", func() bool { return len(to.names()) == 6 && s.left(t) == 0 })
	page, err := s.parked.List(t.Context(), "c", "", 10)
	if err != nil || len(page.Items) != 1 {
		t.Fatalf("%+v %v", page, err)
	}
	if err := s.parked.Redrive(t.Context(), "c", page.Items[0].ID); err != nil {
		t.Error(err)
	}
}

func TestOneFlowThatFailsDoesNotHoldAnother(t *testing.T) {
	rdb, _ := redistest.Mini(t)
	s := newStand(rdb)
	to := &sink{behave: func(_ context.Context, e *outbox.Entry, _ int) error {
		if e.Subject == "bad" {
			return problem.New(problem.Unavailable, "not now")
		}
		return nil
	}}
	s.run(t, s.config(to))
	s.append(t, "a", "bad", 1)
	s.append(t, "a", "bad", 2)
	for i := range 50 {
		s.append(t, "a", fmt.Sprint("good-", i), 1)
	}
	eventually(t, "the others arrive", func() bool { return len(to.names()) == 50 })
	eventually(t, "the two of the flow that fails are left", func() bool { return s.left(t) == 2 }) // acknowledged together, a little later
}

func TestManyAreUnderWayAtOnce(t *testing.T) {
	rdb, _ := redistest.Mini(t)
	s := newStand(rdb)
	var mu sync.Mutex
	now, most := 0, 0
	full := make(chan struct{})
	to := &sink{behave: func(ctx context.Context, _ *outbox.Entry, _ int) error {
		mu.Lock()
		now++
		if most = max(most, now); now == 100 {
			close(full)
		}
		mu.Unlock()
		select {
		case <-full:
		case <-ctx.Done():
		}
		return nil
	}}
	s.run(t, s.config(to))
	for i := range 100 {
		s.append(t, "a", fmt.Sprint("flow-", i), 1)
	}
	eventually(t, "100 wait for the broker at once", func() bool { return len(to.names()) == 100 })
}

func TestWhatCannotBeDeliveredIsParkedAndCanBeRedriven(t *testing.T) {
	for name, open := range redistest.Kinds() {
		t.Run(name, func(t *testing.T) {
			rdb := open(t)
			s := newStand(rdb)
			var mu sync.Mutex
			mended := false
			to := &sink{behave: func(_ context.Context, e *outbox.Entry, _ int) error {
				mu.Lock()
				defer mu.Unlock()
				switch {
				case mended:
					return nil
				case e.Subject == "poison":
					return problem.New(problem.Invalid, "the broker: no such attribute")
				case e.Subject == "old":
					return problem.New(problem.Unavailable, "not now")
				}
				return nil
			}}
			cfg := s.config(to)
			cfg.MaxAge = time.Millisecond
			s.run(t, cfg)
			s.append(t, "a", "poison", 1)
			s.append(t, "a", "old", 1)
			s.append(t, "a", "poison", 2)
			s.append(t, "b", "good", 1)
			list := func() []string {
				page, err := s.parked.List(t.Context(), "a", "", 10)
				if err != nil {
					t.Fatal(err)
				}
				var out []string
				for _, p := range page.Items {
					out = append(out, p.Subject)
					if p.EventID == "" || p.EventType != "io.tidegate.dataflow.started.v1" || p.Lane != "event" || p.ParkedAt.IsZero() {
						t.Errorf("%+v", p)
					}
				}
				slices.Sort(out)
				return out
			}
			eventually(t, "three are parked", func() bool { return len(list()) == 3 && s.left(t) == 0 })
			if d := cmp.Diff([]string{"old", "poison", "poison"}, list()); d != "" {
				t.Error(d)
			}
			if n := to.tries["a/poison/1"]; n != 1 {
				t.Errorf("what can never be accepted was tried %d times", n)
			}
			if n := to.tries["a/old/1"]; n < 3 {
				t.Errorf("what may pass was tried %d times, want 3", n)
			}
			mu.Lock()
			mended = true
			mu.Unlock()
			page, _ := s.parked.List(t.Context(), "a", "", 10)
			for _, p := range page.Items {
				if err := s.parked.Redrive(t.Context(), "a", p.ID); err != nil {
					t.Error(err)
				}
				if err := s.parked.Redrive(t.Context(), "a", p.ID); !problem.Is(err, problem.NotFound) {
					t.Errorf("re-driven twice: %v", err)
				}
			}
			eventually(t, "all arrive after all", func() bool { return len(to.names()) == 4 && s.left(t) == 0 && len(list()) == 0 })
		})
	}
}

func TestRetryAfterIsHonoured(t *testing.T) {
	rdb, _ := redistest.Mini(t)
	s := newStand(rdb)
	var mu sync.Mutex
	var at []time.Time
	to := &sink{behave: func(_ context.Context, _ *outbox.Entry, try int) error {
		mu.Lock()
		defer mu.Unlock()
		at = append(at, time.Now())
		if try == 1 {
			e := problem.New(problem.TooMany, "slowly")
			e.RetryAfter = 300 * time.Millisecond
			return e
		}
		return nil
	}}
	s.run(t, s.config(to))
	s.append(t, "a", "flow", 1)
	eventually(t, "it arrives", func() bool { return len(to.names()) == 1 })
	if pause := at[1].Sub(at[0]); pause < 300*time.Millisecond {
		t.Errorf("tried again after %v", pause)
	}
}

func TestRedisAwayForAWhile(t *testing.T) {
	rdb, m := redistest.Mini(t)
	s := newStand(rdb)
	to := &sink{}
	s.run(t, s.config(to))
	s.append(t, "a", "flow", 1)
	eventually(t, "it runs", func() bool { return len(to.names()) == 1 })
	m.SetError("LOADING")
	if err := s.writer.Append(t.Context(), entry("a", "flow", 2)); !problem.Is(err, problem.Unavailable) {
		t.Errorf("append: %v", err)
	}
	time.Sleep(50 * time.Millisecond) // a few polls fail
	m.SetError("")
	if err := s.writer.Append(t.Context(), entry("a", "flow", 3)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it goes on", func() bool { return len(to.names()) == 2 && s.left(t) == 0 })
}
