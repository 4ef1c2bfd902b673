package acceptance

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tidegate/tidegate/shared/dps"
)

const (
	replicas  = 3
	planes    = 10 // control planes that signal at once
	streamers = 4  // streams that are open at once

	// takeover is the time in which what a killed replica had to tell is told: its leases end after 4 s, and another takes them within one more.
	takeover = 5 * time.Second
	outage   = 1500 * time.Millisecond // of the broker, and of the control planes
)

// TestReplicasMayBeKilledAndReplaced has ten control planes take flows through their lives, and consumers read, while three
// gateways are killed at random, broker and control planes go away for moments, and then all gateways are replaced one by one. No signal
// may fail in a way that a control plane does not try again; each event must come, in order within its flow, of one transition each;
// no stream may break at a replacement, and each be whole in the end.
//
// TIDEGATE_CHAOS sets how long it kills (default 12s).
func TestReplicasMayBeKilledAndReplaced(t *testing.T) {
	kills := 12 * time.Second
	if v := os.Getenv("TIDEGATE_CHAOS"); v != "" {
		var err error
		if kills, err = time.ParseDuration(v); err != nil {
			t.Fatalf("TIDEGATE_CHAOS: %v", err)
		}
	}
	f := startFleet(t, replicas)
	small, big := f.offer(t, "small", 1<<10), f.offer(t, "big", streamSize)
	ctx, cancel := context.WithTimeout(t.Context(), kills+3*time.Minute)
	defer cancel()
	l, streams := &load{}, &consumers{hc: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
	stop := make(chan struct{})
	var work sync.WaitGroup
	for i := range planes {
		work.Go(func() { newControlPlane(f, l, uint64(i)).run(ctx, stop, fmt.Sprint("flow", i), small) })
	}
	for i := range streamers {
		work.Go(func() {
			streams.run(ctx, stop, newControlPlane(f, l, uint64(100+i)), fleetTenantID(i), fmt.Sprint("stream", i), big)
		})
	}

	killed := f.kill(t, ctx, kills)
	if err := f.readyWithin(ctx, replicas); err != nil {
		t.Error(err)
	}
	time.Sleep(time.Second) // what was broken by the last kill has found another replica
	unanswered, broken := l.unanswered.Load(), streams.broken.Load()
	t.Logf("%d kills: %d signals, %d of them not answered at first, %d sent twice; %d streams, broken %d times",
		killed, l.signals.Load(), unanswered, l.replayed.Load(), streams.whole.Load(), broken)

	drained := f.replace(t, ctx)
	close(stop)
	work.Wait()
	t.Logf("replaced in %v: %d signals in all, %d streams", drained, l.signals.Load(), streams.whole.Load())
	if n := l.unanswered.Load() - unanswered; n > 0 {
		t.Errorf("%d signals were not answered while gateways were replaced", n)
	}
	if n := streams.broken.Load() - broken; n > 0 {
		t.Errorf("%d streams broke while gateways were replaced", n)
	}
	for _, took := range drained {
		if took > drainTime {
			t.Errorf("a gateway took %v to stop", took)
		}
	}
	for _, fault := range l.faults {
		t.Error(fault)
	}
	if n := len(l.all()); n < 50 {
		t.Errorf("only %d flows came through: nothing was proved", n)
	}
	if n := l.refused.Load(); n == 0 {
		t.Error("no token came again: nothing was proved")
	} else {
		t.Logf("%d tokens that came again were refused, %d callbacks were authentic", n, len(f.outside.tokens))
	}
	f.toldOnceInOrder(t, l)
}

// kill kills gateways at random moments for a while, and has the broker and the control planes go away in between.
func (f *fleet) kill(t *testing.T, ctx context.Context, d time.Duration) (kills int) {
	t.Helper()
	rnd := rand.New(rand.NewPCG(7, 7))
	var away sync.WaitGroup
	defer away.Wait()
	for end := time.Now().Add(d); time.Now().Before(end); {
		all := f.all()
		g := all[rnd.IntN(len(all))]
		if err := g.Kill(); err == nil {
			kills++
		}
		if kills%3 == 2 {
			other := []*switched{f.outside.broker, f.outside.plane}[kills/3%2]
			away.Go(func() {
				other.down()
				time.Sleep(outage)
				if err := other.up(); err != nil {
					t.Error(err)
				}
			})
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Duration(1500+rnd.IntN(1500)) * time.Millisecond):
		}
	}
	return kills
}

// replace replaces each gateway by a new one, as a rollout does: first the new one is ready, then the old one is told to stop.
func (f *fleet) replace(t *testing.T, ctx context.Context) (took []time.Duration) {
	t.Helper()
	for _, old := range f.all() {
		f.addGateway(t)
		if err := f.readyWithin(ctx, replicas+1); err != nil {
			t.Error(err)
		}
		took = append(took, f.stopGateway(old).Round(10*time.Millisecond))
	}
	return took
}

// toldOnceInOrder holds what the broker and the control planes were told against what was done.
func (f *fleet) toldOnceInOrder(t *testing.T, l *load) {
	t.Helper()
	flows := l.all()
	eventually(t, time.Minute, func() string {
		missing := 0
		for _, fl := range flows {
			if len(f.outside.first(fl.id)) < len(fl.kinds) {
				missing++
			}
		}
		if missing > 0 {
			return fmt.Sprintf("of %d flows not all events have come", missing)
		}
		return ""
	})
	var ages []time.Duration
	for _, fl := range flows {
		first := f.outside.first(fl.id)
		for i, a := range first {
			ages = append(ages, a.age)
			if i >= len(fl.kinds) || a.kind != fl.kinds[i] || a.revision != int64(i+1) || a.pc != fl.pc {
				t.Errorf("%s: event %d is %+v, of %v", fl.id, i+1, a, fl.kinds)
				break
			}
		}
		if got, err := f.api.Flow(t.Context(), fl.pc, fl.id); err != nil || got.State != fl.state || got.Revision != int64(len(fl.kinds)) {
			t.Errorf("%s is %+v: %v; want %s in revision %d", fl.id, got, err, fl.state, len(fl.kinds))
		}
	}
	slices.Sort(ages)
	t.Logf("%d flows, %d events: age at the broker %v in the middle, %v at p99, %v at most",
		len(flows), len(ages), ages[len(ages)/2], ages[len(ages)*99/100], ages[len(ages)-1])
	if oldest := ages[len(ages)-1]; oldest > 2*takeover+outage+10*time.Second { // the heir may be killed too; the rest is the machine's
		t.Errorf("an event was %v old when it came", oldest)
	}
	eventually(t, time.Minute, func() string {
		return f.outside.notCalledBack(flows)
	})
	f.outside.mu.Lock()
	defer f.outside.mu.Unlock()
	for _, fault := range f.outside.faults {
		t.Error(fault)
	}
}

// notCalledBack names a flow whose control plane was not told, by one and the same message, that a function has completed it.
func (o *outside) notCalledBack(flows []*flow) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	told := map[string]int{}
	for call := range o.callbacks {
		for i := range call {
			if call[i] == ' ' {
				told[call[:i]]++
			}
		}
	}
	for _, fl := range flows {
		path := "/signaling/transfers/" + fl.id + "/dataflow/completed"
		switch n := told[path]; {
		case fl.word && n != 1:
			return fmt.Sprintf("%s was told by %d messages that it has completed", fl.id, n)
		case !fl.word && n > 0 && fl.state != dps.Completed:
			return fmt.Sprintf("%s was told that it has completed, but it is %s", fl.id, fl.state)
		}
	}
	return ""
}
