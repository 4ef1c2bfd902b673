package main

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/tidegate/tidegate/eventing/catalogue"
	"github.com/tidegate/tidegate/functions/internal/gatewaytest"
	"github.com/tidegate/tidegate/shared/dps"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/problem"
)

func TestAFlowIsPulledAndCompleted(t *testing.T) {
	for _, size := range []int{0, 1, 3 << 20} {
		t.Run(fmt.Sprintf("%d bytes", size), func(t *testing.T) {
			b := newBench(t, size)
			reply, err := b.once()
			if err != nil {
				t.Fatal(err)
			}
			d := b.arrived(reply, b.provider.content)
			if d.Slices != 1 || d.Resumed || d.AgreementID != "agreement" || d.CounterPartyID != "did:web:provider" || d.Sink != "in" || d.Key != "in/data.csv" {
				t.Errorf("told: %+v", d)
			}
			if got := b.delivery().ContentType; got != "text/csv" {
				t.Errorf("content type is %q", got)
			}
			again, err := b.once()
			if err != nil || again == nil || again.ID() != reply.ID() {
				t.Errorf("the same event again: %v, %v; want the same reply", again, err)
			}
			if n, _ := b.provider.counts(); n != 1 {
				t.Errorf("the provider was asked %d times", n)
			}
		})
	}
}

func TestWhatIsNotOursOrNotStartedIsLeftAlone(t *testing.T) {
	tests := map[string]func(b *bench) *event.Event{
		"a flow of the provider's side": func(b *bench) *event.Event {
			b.gateway.SetFlow(gatewayapi.Flow{ParticipantContextID: pc, DataFlowID: flowID, State: dps.Started, Role: dps.Provider, Direction: dps.Pull})
			return b.started()
		},
		"a push": func(b *bench) *event.Event {
			b.gateway.SetFlow(gatewayapi.Flow{ParticipantContextID: pc, DataFlowID: flowID, State: dps.Started, Role: dps.Consumer, Direction: dps.Push})
			return b.started()
		},
		"a profile that another function serves": func(b *bench) *event.Event {
			b.flow(dps.Started)
			f, err := b.gateway.Client.Flow(b.t.Context(), pc, flowID)
			if err != nil {
				b.t.Fatal(err)
			}
			f.Profile = "nats-stream-pull"
			b.gateway.SetFlow(*f)
			return b.started()
		},
		"a suspended flow":      func(b *bench) *event.Event { b.flow(dps.Suspended); return b.started() },
		"a terminated flow":     func(b *bench) *event.Event { b.flow(dps.Terminated); return b.started() },
		"a flow nobody knows":   func(b *bench) *event.Event { return other(b.t, "gone") },
		"another's progression": func(b *bench) *event.Event { b.flow(dps.Completed); return b.started() },
	}
	for name, prepare := range tests {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, 10)
			reply, err := b.handler.Handle(t.Context(), prepare(b))
			if n, _ := b.provider.counts(); reply != nil || err != nil || n != 0 {
				t.Errorf("%v, %v, %d requests", reply, err, n)
			}
		})
	}
	t.Run("a flow whose delivery nobody has planned comes again", func(t *testing.T) {
		b := newBench(t, 10)
		b.gateway.SetFlow(gatewayapi.Flow{ParticipantContextID: pc, DataFlowID: "unplanned", State: dps.Started, Role: dps.Consumer, Direction: dps.Pull, Profile: dps.ProfileHTTPPull})
		if _, err := b.handler.Handle(t.Context(), other(t, "unplanned")); problem.EventStatus(err) != 503 {
			t.Errorf("%v", err)
		}
	})
	t.Run("an event that names no flow is refused for good", func(t *testing.T) {
		b := newBench(t, 10)
		if _, err := b.handler.Handle(t.Context(), other(t, "")); problem.EventStatus(err) != 400 {
			t.Errorf("%v", err)
		}
	})
}

func other(t *testing.T, id string) *event.Event {
	t.Helper()
	e, err := catalogue.New("test", pc, catalogue.DataFlowStarted, "x", catalogue.DataFlow{DataFlowID: id})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// TestProvidersThatMisbehave lets the first requests go wrong; the broker's redeliveries and the flow's own retries must
// bring the data all the same.
func TestProvidersThatMisbehave(t *testing.T) {
	const size = 2 << 20
	first := func(n int, f func(w http.ResponseWriter, r *http.Request, content []byte)) func(*bench) {
		return func(b *bench) {
			b.provider.misbehave = func(w http.ResponseWriter, r *http.Request, i int) bool {
				if i > n {
					return false
				}
				f(w, r, b.provider.content)
				return true
			}
		}
	}
	answer := func(code int) func(http.ResponseWriter, *http.Request, []byte) {
		return func(w http.ResponseWriter, _ *http.Request, _ []byte) { w.WriteHeader(code) }
	}
	tests := map[string]struct {
		prepare func(b *bench)
		resumed bool
	}{
		"cuts the connection half way": {first(1, abort(size/2)), true},
		"cuts it three times in a row": {first(3, abort(0)), false},
		"answers 503 at first":         {first(2, answer(503)), false},
		"answers 429 at first":         {first(1, answer(429)), false},
		"answers 401 at first":         {first(2, answer(401)), false},
		"has no digest to offer":       {func(b *bench) { b.provider.noDigest = true }, false},
		"sends a wrong byte once": {first(1, func(w http.ResponseWriter, _ *http.Request, c []byte) {
			_, _ = w.Write(append([]byte{^c[0]}, c[1:]...))
		}), false},
		"stalls":                           {first(1, func(w http.ResponseWriter, r *http.Request, c []byte) { stall(w, r, c) }), true},
		"answers a range with the whole":   {then(abort(size/2), func(w http.ResponseWriter, _ *http.Request, c []byte) { _, _ = w.Write(c) }), false},
		"answers another range":            {then(abort(size/2), partial("bytes 7-%d/%d", 7)), false},
		"answers a range of another total": {then(abort(size/2), partial("bytes 1048576-%d/99999999", size/2)), false},
		"answers 206 without a range":      {then(abort(size/2), partial("", size/2)), true},
		"answers 416 to a good range": {then(abort(size/2), func(w http.ResponseWriter, _ *http.Request, _ []byte) {
			w.Header().Set("Content-Range", "bytes */10")
			w.WriteHeader(416)
		}), false},
		"answers ranges bit by bit": {then(abort(size/2), bit), true},
		"gzips although not asked to": {first(1, func(w http.ResponseWriter, _ *http.Request, c []byte) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(c)
		}), false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, size)
			b.handler.cfg.StallTime = 100 * time.Millisecond
			test.prepare(b)
			reply, err := b.drive(b.handler, b.started())
			if err != nil {
				t.Fatal(err)
			}
			d := b.arrived(reply, b.provider.content)
			if test.resumed && !d.Resumed {
				t.Error("it did not resume")
			}
			if _, served := b.provider.counts(); test.resumed && served >= size {
				t.Errorf("%d bytes were fetched after the break, that is all of them", served)
			}
		})
	}
}

func then(one, two func(http.ResponseWriter, *http.Request, []byte)) func(*bench) {
	return func(b *bench) {
		b.provider.misbehave = func(w http.ResponseWriter, r *http.Request, i int) bool {
			switch i {
			case 1:
				one(w, r, b.provider.content)
			case 2:
				two(w, r, b.provider.content)
			}
			return i <= 2
		}
	}
}

func partial(contentRange string, from int) func(http.ResponseWriter, *http.Request, []byte) {
	return func(w http.ResponseWriter, _ *http.Request, c []byte) {
		switch strings.Count(contentRange, "%d") {
		case 2:
			w.Header().Set("Content-Range", fmt.Sprintf(contentRange, len(c)-1, len(c)))
		case 1:
			w.Header().Set("Content-Range", fmt.Sprintf(contentRange, len(c)-1))
		}
		w.WriteHeader(http.StatusPartialContent)
		_, _ = w.Write(c[from:])
	}
}

// bit answers less than what the range asks for, as a server may.
func bit(w http.ResponseWriter, r *http.Request, c []byte) {
	var from int
	_, _ = fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &from)
	w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, from+999, len(c)))
	w.WriteHeader(http.StatusPartialContent)
	_, _ = w.Write(c[from : from+1000])
}

func stall(w http.ResponseWriter, r *http.Request, c []byte) {
	w.Header().Set("Content-Length", fmt.Sprint(len(c)))
	_, _ = w.Write(c[:len(c)/4])
	_ = http.NewResponseController(w).Flush()
	<-r.Context().Done()
}

func TestTheVersionChangesHalfWay(t *testing.T) {
	b := newBench(t, 1<<20)
	next := randomBytes(2, 700_000)
	b.provider.misbehave = func(w http.ResponseWriter, r *http.Request, n int) bool {
		if n > 1 {
			return false
		}
		b.provider.replace(next)
		abort(500_000)(w, r, randomBytes(1, 1<<20))
		return true
	}
	reply, err := b.drive(b.handler, b.started())
	if err != nil {
		t.Fatal(err)
	}
	b.arrived(reply, next)
}

func TestFlowsThatAreGivenUp(t *testing.T) {
	always := func(f func(w http.ResponseWriter, r *http.Request, content []byte)) func(*bench) {
		return func(b *bench) {
			b.provider.misbehave = func(w http.ResponseWriter, r *http.Request, _ int) bool {
				f(w, r, b.provider.content)
				return true
			}
		}
	}
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("a redirect was followed to another host, with Authorization %q", r.Header.Get("Authorization"))
	}))
	t.Cleanup(elsewhere.Close)
	tests := map[string]struct {
		prepare func(b *bench)
		reason  string
		tries   int
	}{
		"the provider forbids it": {always(func(w http.ResponseWriter, _ *http.Request, _ []byte) { w.WriteHeader(403) }), "the provider answered 403", 3},
		"it has gone":             {always(func(w http.ResponseWriter, _ *http.Request, _ []byte) { w.WriteHeader(410) }), "the provider answered 410", 3},
		"it redirects to another host": {
			always(func(w http.ResponseWriter, r *http.Request, _ []byte) {
				http.Redirect(w, r, elsewhere.URL, http.StatusFound)
			}),
			"the provider answered 302", 3,
		},
		"the digest is wrong every time": {
			always(func(w http.ResponseWriter, _ *http.Request, c []byte) {
				_, _ = w.Write(append([]byte{^c[0]}, c[1:]...))
			}), "SHA-256", 3,
		},
		"the name can't be one":    {func(b *bench) { b.plan("../../etc/passwd", 1, "") }, "name of an object", 0},
		"the sink is not there":    {func(b *bench) { b.tenant.Sinks = nil }, "not configured", 0},
		"a folder is in the place": {func(b *bench) { _ = os.MkdirAll(filepath.Join(b.dir, "in", "data.csv"), 0o755) }, "name", 1},
		"the authentication is not known": {func(b *bench) {
			b.gateway.SetAddress(pc, flowID, dps.DataAddress{Endpoint: b.provider.URL, EndpointProperties: []dps.EndpointProperty{{Name: "authorization", Value: "x"}, {Name: "authType", Value: "basic"}}})
		}, "authentication", 0},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, 1000)
			test.prepare(b)
			reply, err := b.drive(b.handler, b.started())
			if reply != nil || err != nil {
				t.Fatalf("%v, %v; want an acknowledgement", reply, err)
			}
			reasons := b.gateway.Errored(flowID)
			if len(reasons) != 1 || !strings.Contains(reasons[0], test.reason) || strings.Contains(reasons[0], token) {
				t.Errorf("reasons are %q, want one with %q", reasons, test.reason)
			}
			if n, _ := b.provider.counts(); n != test.tries {
				t.Errorf("the provider was asked %d times, want %d", n, test.tries)
			}
			if d := b.delivery(); d.LeaseOwner != "" || d.Done {
				t.Errorf("record: %+v", d)
			}
		})
	}
}

func TestSlices(t *testing.T) {
	b := newBench(t, 400_000)
	b.provider.slow(4000) // 400 kB/s
	b.handler.cfg.SliceTime = 150 * time.Millisecond
	seen := map[string]bool{}
	e, slices := b.started(), 0
	for {
		reply, err := b.handler.Handle(t.Context(), e)
		if err != nil {
			t.Fatal(err)
		}
		if reply.Type() == catalogue.ObjectDelivered {
			d := b.arrived(reply, b.provider.content)
			if d.Slices != slices+1 || slices < 3 || !d.Resumed {
				t.Errorf("%d slices before: %+v", slices, d)
			}
			break
		}
		slices++
		p, err := catalogue.Data[catalogue.Transfer](reply)
		if err != nil || p.Slice != slices || p.Offset <= 0 || p.Size != 400_000 || seen[reply.ID()] {
			t.Fatalf("slice %d: %+v, %v", slices, p, err)
		}
		seen[reply.ID()] = true
		if got := b.delivery(); got.Offset != p.Offset || got.LeaseOwner != "" {
			t.Errorf("record: %+v", got)
		}
		e = reply
	}
	if _, served := b.provider.counts(); served > 500_000 {
		t.Errorf("%d bytes were fetched for 400000", served)
	}
}

func TestDrainEndsTheSlice(t *testing.T) {
	b := newBench(t, 1<<20)
	b.provider.slow(4000)
	go func() {
		for {
			if b.stored() > 0 {
				close(b.draining)
				return
			}
			time.Sleep(time.Millisecond)
		}
	}()
	reply, err := b.once()
	if err != nil || reply == nil || reply.Type() != catalogue.TransferProgressed {
		t.Errorf("%v, %v; want a follow-up event", reply, err)
	}
}

func TestASuspendedFlowStopsWithinALease(t *testing.T) {
	b := newBench(t, 1<<20)
	b.provider.slow(1000)
	b.handler.cfg.LeaseTime = 150 * time.Millisecond
	go func() {
		for {
			if b.stored() > 0 {
				b.flow(dps.Suspended)
				return
			}
			time.Sleep(time.Millisecond)
		}
	}()
	begin := time.Now()
	reply, err := b.once()
	if reply != nil || err != nil || time.Since(begin) > 20*time.Second {
		t.Errorf("%v, %v after %v; want an acknowledgement at once", reply, err, time.Since(begin))
	}
	d := b.delivery()
	if d.Offset == 0 || d.LeaseOwner != "" {
		t.Errorf("record: %+v; what came is to be kept", d)
	}
	b.flow(dps.Started)
	b.provider.slow(0)
	reply, err = b.drive(b.handler, b.started())
	if err != nil {
		t.Fatal(err)
	}
	if got := b.arrived(reply, b.provider.content); !got.Resumed {
		t.Errorf("told: %+v", got)
	}
}

func TestOneInvocationAtATime(t *testing.T) {
	b := newBench(t, 300_000)
	b.provider.slow(10_000)
	var work sync.WaitGroup
	replies := make([]*event.Event, 4)
	for i := range replies {
		h := b.newHandler() // each its own process
		work.Go(func() {
			var err error
			if replies[i], err = b.drive(h, b.started()); err != nil {
				t.Error(err)
			}
		})
	}
	work.Wait()
	for _, r := range replies {
		b.arrived(r, b.provider.content)
		if r.ID() != replies[0].ID() {
			t.Error("the same delivery was told under two ids")
		}
	}
	if _, served := b.provider.counts(); served > 310_000 {
		t.Errorf("%d bytes were fetched for 300000: more than one was at it", served)
	}
}

func TestALeaseThatRanOutIsTakenOver(t *testing.T) {
	b := newBench(t, 1000)
	d := b.delivery()
	d.LeaseOwner, d.LeaseUntil = "a process that was killed", time.Now().Add(100*time.Millisecond)
	b.gateway.Put(t, pc, gatewayapi.KindDelivery, flowID, d)
	_, err := b.once()
	if e, ok := errors.AsType[*problem.Error](err); !ok || problem.EventStatus(err) != 503 || e.RetryAfter <= 0 {
		t.Fatalf("while the lease holds: %v; want 503 with Retry-After", err)
	}
	reply, err := b.drive(b.handler, b.started())
	if err != nil {
		t.Fatal(err)
	}
	b.arrived(reply, b.provider.content)
}

func TestACommitThatWasNotNotedIsRecognised(t *testing.T) {
	b := newBench(t, 1000)
	reply, err := b.once()
	if err != nil {
		t.Fatal(err)
	}
	d := b.delivery() // as it was before the last write
	d.Done, d.Slices, d.LeaseOwner = false, 0, ""
	b.gateway.Put(t, pc, gatewayapi.KindDelivery, flowID, d)
	b.flow(dps.Started)
	again, err := b.once()
	if err != nil {
		t.Fatal(err)
	}
	b.arrived(again, b.provider.content)
	if n, _ := b.provider.counts(); n != 1 || again.ID() != reply.ID() {
		t.Errorf("the provider was asked %d times, ids %s and %s", n, reply.ID(), again.ID())
	}
}

func TestACompletedFlowStillTellsOfItsDelivery(t *testing.T) {
	b := newBench(t, 1000)
	reply, err := b.once()
	if err != nil {
		t.Fatal(err)
	}
	b.flow(dps.Completed) // the reply was lost after the flow had been completed
	again, err := b.once()
	if err != nil || again == nil || again.ID() != reply.ID() {
		t.Errorf("%v, %v", again, err)
	}
}

// TestAnyCallToTheGatewayMayFail lets each call fail in turn, before its effect or with its answer lost.
func TestAnyCallToTheGatewayMayFail(t *testing.T) {
	const size = 10_000
	calm := newBench(t, size)
	steps := 0
	var mu sync.Mutex
	calm.gateway.Fail(func(string, string) gatewaytest.Fault { mu.Lock(); defer mu.Unlock(); steps++; return gatewaytest.None })
	if _, err := calm.once(); err != nil {
		t.Fatal(err)
	}
	for step := 1; step <= steps; step++ {
		for _, fault := range []gatewaytest.Fault{gatewaytest.Before, gatewaytest.After} {
			b := newBench(t, size)
			b.handler.cfg.LeaseTime = 30 * time.Millisecond
			n := 0
			b.gateway.Fail(func(string, string) gatewaytest.Fault {
				mu.Lock()
				defer mu.Unlock()
				if n++; n == step {
					return fault
				}
				return gatewaytest.None
			})
			reply, err := b.drive(b.handler, b.started())
			if err != nil {
				t.Fatalf("step %d, fault %d: %v", step, fault, err)
			}
			b.arrived(reply, b.provider.content)
		}
	}
	t.Logf("%d calls, each failed in two ways", steps)
}
