package flowstore_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tidegate/tidegate/dps-gateway/internal/flowstore"
	"github.com/tidegate/tidegate/dps-gateway/internal/flowstore/flowstoretest"
	"github.com/tidegate/tidegate/dps-gateway/internal/outbox"
	"github.com/tidegate/tidegate/dps-gateway/internal/redistest"
	"github.com/tidegate/tidegate/shared/dps"
	"github.com/tidegate/tidegate/shared/problem"
)

// TestSignalsAtOnceAreAllApplied: each of many signals at the same time gets its own answer, on a Redis that has just lost its scripts too.
func TestSignalsAtOnceAreAllApplied(t *testing.T) {
	test := func(t *testing.T, rdb redis.UniversalClient) {
		t.Helper()
		s := flowstore.New(rdb, outbox.NewBell(), time.Hour)
		for _, c := range []string{"first", "scripts are gone"} {
			if err := rdb.ScriptFlush(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}
			var all sync.WaitGroup
			for i := range 300 {
				all.Go(func() {
					pc := fmt.Sprintf("tenant-%d", i%16)
					tr := flowstoretest.Create(pc, fmt.Sprint(c, i), dps.Consumer)
					tr.Answer = fmt.Append(nil, "answer ", i)
					for _, want := range []flowstore.Outcome{flowstore.Applied, flowstore.Replayed} {
						r, err := s.Apply(t.Context(), tr)
						if err != nil || r.Outcome != want || string(r.Answer) != fmt.Sprint("answer ", i) {
							t.Errorf("%s %d: %s %q %v, want %s", c, i, r.Outcome, r.Answer, err, want)
						}
					}
					once := &flowstore.Once{TokenID: fmt.Sprint(c, i), Request: "r", TTL: time.Minute}
					if f, ok, err := s.GetOnce(t.Context(), pc, tr.DataFlowID, once); err != nil || !ok || f.DataFlowID != tr.DataFlowID {
						t.Errorf("%s %d: read: %v %v %v", c, i, f, ok, err)
					}
				})
			}
			all.Wait()
		}
	}
	redistest.Each(t, test)
	t.Run("cluster", func(t *testing.T) { test(t, redistest.Cluster3(t)) })
}

// gate lets nothing pass to Redis until it is opened, and counts the round trips.
type gate struct {
	open  chan struct{}
	trips atomic.Int64
}

func (g *gate) DialHook(next redis.DialHook) redis.DialHook { return next }

func (g *gate) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		g.trips.Add(1)
		<-g.open
		return next(ctx, cmd)
	}
}

func (g *gate) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		g.trips.Add(1)
		<-g.open
		return next(ctx, cmds)
	}
}

// TestSignalsAtOnceShareRoundTrips, and one whose caller goes while it waits is made all the same: its control plane will send it again,
// and get the answer.
func TestSignalsAtOnceShareRoundTrips(t *testing.T) {
	rdb, _ := redistest.Mini(t)
	s := flowstore.New(rdb, outbox.NewBell(), time.Hour)
	if _, err := s.Apply(t.Context(), flowstoretest.Create("t", "warm", dps.Consumer)); err != nil {
		t.Fatal(err)
	}
	g := &gate{open: make(chan struct{})}
	rdb.AddHook(g)
	going, gone := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for i := range 42 {
		all.Go(func() {
			if r, err := s.Apply(t.Context(), flowstoretest.Create("t", fmt.Sprint(i), dps.Consumer)); err != nil || r.Outcome != flowstore.Applied {
				t.Errorf("%d: %s %v", i, r.Outcome, err)
			}
		})
	}
	wait := func(n int) {
		for deadline := time.Now().Add(10 * time.Second); s.Waiting() < n; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%d wait, want %d", s.Waiting(), n)
			}
		}
	}
	wait(40)
	left := make(chan error, 1)
	go func() {
		_, err := s.Apply(going, flowstoretest.Create("t", "gone", dps.Consumer))
		left <- err
	}()
	wait(41)
	gone()
	if err := <-left; !errors.Is(err, context.Canceled) || !problem.Is(err, problem.Timeout) {
		t.Errorf("the one that went: %v", err)
	}
	close(g.open)
	all.Wait()
	if n := g.trips.Load(); n > 8 { // connections that are opened count too
		t.Errorf("%d round trips for 43 signals", n)
	}
	r, err := s.Apply(t.Context(), flowstoretest.Create("t", "gone", dps.Consumer))
	if err != nil || r.Outcome != flowstore.Replayed {
		t.Errorf("again: %s %v", r.Outcome, err)
	}
}
