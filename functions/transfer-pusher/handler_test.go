package main

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidegate/tidegate/eventing/catalogue"
	"github.com/tidegate/tidegate/functions/internal/gatewaytest"
	"github.com/tidegate/tidegate/shared/dps"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/problem"
)

func TestAFlowIsPushedAndCompleted(t *testing.T) {
	for _, plain := range []bool{false, true} {
		for _, size := range []int{0, 1, 3 << 20} {
			t.Run(fmt.Sprintf("%d bytes, plain %v", size, plain), func(t *testing.T) {
				b := newBench(t, size)
				b.consumer.plain = plain
				if _, err := b.drive(); err != nil {
					t.Fatal(err)
				}
				b.arrived()
				// The same event again is no second push.
				if reply, err := b.handler.Handle(t.Context(), b.started()); reply != nil || err != nil {
					t.Errorf("again: %v %v", reply, err)
				}
				if puts, _ := b.consumer.counts(); puts != 1 || b.consumer.ranges[0] != "" {
					t.Errorf("%d requests, ranges %q", puts, b.consumer.ranges)
				}
			})
		}
	}
}

func TestWhatIsNotOursOrNotStartedIsLeftAlone(t *testing.T) {
	other := func(role dps.Role, dir dps.Direction) func(b *bench) {
		return func(b *bench) {
			b.gateway.SetFlow(gatewayapi.Flow{ParticipantContextID: pc, DataFlowID: flowID, State: dps.Started, Role: role, Direction: dir})
		}
	}
	for name, prepare := range map[string]func(b *bench){
		"a consumer's push": other(dps.Consumer, dps.Push),
		"a provider's pull": other(dps.Provider, dps.Pull),
		"a suspended flow":  func(b *bench) { b.flow(dps.Suspended) },
		"a profile that another function serves": func(b *bench) {
			b.flow(dps.Started)
			f, err := b.gateway.Client.Flow(t.Context(), pc, flowID)
			if err != nil {
				t.Fatal(err)
			}
			f.Profile = "kafka-topic-push"
			b.gateway.SetFlow(*f)
		},
		"a terminated flow": func(b *bench) { b.flow(dps.Terminated) },
	} {
		b := newBench(t, 10)
		prepare(b)
		reply, err := b.handler.Handle(t.Context(), b.started())
		if puts, _ := b.consumer.counts(); reply != nil || err != nil || puts != 0 || b.gateway.Completed(flowID) != 0 {
			t.Errorf("%s: %v, %v, %d requests", name, reply, err, puts)
		}
	}
	b := newBench(t, 10)
	for id, status := range map[string]int{"": 400, "gone": 0} {
		_, err := b.handler.Handle(t.Context(), event1(t, id))
		if got := problem.EventStatus(err); (err == nil) != (status == 0) || (err != nil && got != status) {
			t.Errorf("flow %q: %v", id, err)
		}
	}
}

// TestConsumersThatMisbehave lets the first pushes go wrong; redeliveries and the flow's own retries must bring the data all the same.
func TestConsumersThatMisbehave(t *testing.T) {
	const size = 4 << 20
	first := func(n int, f func(b *bench, w http.ResponseWriter, r *http.Request)) func(*bench) {
		return func(b *bench) {
			b.consumer.misbehave = func(w http.ResponseWriter, r *http.Request, put int) bool {
				if r.Method != http.MethodPut || put > n {
					return false
				}
				f(b, w, r)
				return true
			}
		}
	}
	answer := func(code int) func(*bench, http.ResponseWriter, *http.Request) {
		return func(_ *bench, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
	}
	cut := func(b *bench, _ http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Content-Range") == "" {
			b.consumer.mu.Lock()
			b.consumer.content, b.consumer.digest = nil, r.Header.Get("Repr-Digest")
			b.consumer.mu.Unlock()
		}
		_ = b.consumer.read(&limited{r: r.Body, left: size / 4})
		panic(http.ErrAbortHandler)
	}
	for name, c := range map[string]struct {
		prepare func(b *bench)
		plain   bool
		ranges  []string
	}{
		"cuts the connection":                       {first(2, cut), false, []string{"", "bytes 1048576-4194303/4194304", "bytes 2097152-4194303/4194304"}},
		"cuts the connection, and knows no offsets": {first(2, cut), true, []string{"", "", ""}},
		"is not there yet":                          {first(2, answer(503)), false, nil},
		"is busy":                                   {first(2, answer(429)), false, nil},
		"refuses twice":                             {first(2, answer(403)), false, nil},
		"has lost the token twice":                  {first(2, answer(401)), false, nil},
		"has stored all, and its answer gets lost":  {func(b *bench) { b.loseAnswer() }, false, nil},
		"has the beginning of another version":      {func(b *bench) { b.consumer.content, b.consumer.digest = []byte("other"), "sha-256=:AAAA:" }, false, []string{""}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, size)
			b.consumer.plain = c.plain
			c.prepare(b)
			if _, err := b.drive(); err != nil {
				t.Fatal(err)
			}
			b.arrived()
			if c.ranges != nil && fmt.Sprintf("%q", c.ranges) != fmt.Sprintf("%q", b.consumer.ranges) {
				t.Errorf("asked with %q, want %q", b.consumer.ranges, c.ranges)
			}
		})
	}
}

// loseAnswer has the first push stored and its connection cut before the answer.
func (b *bench) loseAnswer() {
	var once sync.Once
	b.consumer.misbehave = func(_ http.ResponseWriter, r *http.Request, _ int) (answered bool) {
		if r.Method != http.MethodPut {
			return false
		}
		once.Do(func() {
			b.consumer.mu.Lock()
			b.consumer.digest = r.Header.Get("Repr-Digest")
			b.consumer.mu.Unlock()
			if b.consumer.read(r.Body) == nil {
				b.consumer.mu.Lock()
				b.consumer.complete, b.consumer.stored = true, 1
				b.consumer.mu.Unlock()
			}
			answered = true
		})
		if answered {
			panic(http.ErrAbortHandler)
		}
		return false
	}
}

// limited ends after so many bytes.
type limited struct {
	r    interface{ Read(b []byte) (int, error) }
	left int
}

func (l *limited) Read(b []byte) (int, error) {
	if l.left == 0 {
		return 0, http.ErrBodyReadAfterClose
	}
	n, err := l.r.Read(b[:min(len(b), l.left)])
	l.left -= n
	return n, err
}

// TestWhatCannotBePushedIsGivenUp: the control plane hears why, once, and nobody tries again.
func TestWhatCannotBePushedIsGivenUp(t *testing.T) {
	for name, c := range map[string]struct {
		prepare func(b *bench)
		reason  string
		puts    int
	}{
		"a consumer that refuses for ever": {func(b *bench) {
			b.consumer.misbehave = func(w http.ResponseWriter, r *http.Request, _ int) bool {
				w.WriteHeader(http.StatusForbidden)
				return true
			}
		}, "answered 403", 3},
		"a consumer that takes other data": {func(b *bench) {
			b.consumer.content, b.consumer.complete, b.consumer.digest = []byte("x"), true, "sha-256=:AAAA:"
		}, "other data", 0},
		"a dataset that is withdrawn": {func(b *bench) {
			b.gateway.Put(b.t, pc, gatewayapi.KindDataset, b.dataset, gatewayapi.Dataset{ID: b.dataset, Bucket: "outbox", Key: "data.csv", Withdrawn: true})
		}, "not on offer", 0},
		"a dataset of another's making": {func(b *bench) {
			b.gateway.Put(b.t, pc, gatewayapi.KindDataset, b.dataset, gatewayapi.Dataset{ID: b.dataset, Bucket: "outbox", Key: "secret.csv"})
		}, "not on offer", 0},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, 1000)
			c.prepare(b)
			if _, err := b.drive(); err != nil {
				t.Fatal(err)
			}
			if e := b.gateway.Errored(flowID); len(e) != 1 || !strings.Contains(e[0], c.reason) || strings.Contains(e[0], token) || strings.Contains(e[0], "http") {
				t.Errorf("told %q", e)
			}
			if puts, _ := b.consumer.counts(); puts != c.puts || b.gateway.Completed(flowID) != 0 {
				t.Errorf("%d pushes, completed %d", puts, b.gateway.Completed(flowID))
			}
			if _, err := b.drive(); err != nil {
				t.Errorf("the same event again: %v", err)
			}
			if puts, _ := b.consumer.counts(); puts != c.puts {
				t.Errorf("pushed again: %d", puts)
			}
		})
	}
}

// TestLongPushesGoInSlices: a slice ends in time, its follow-up names role and direction, and no byte that has arrived is sent twice.
func TestLongPushesGoInSlices(t *testing.T) {
	b := newBench(t, 8<<20)
	b.consumer.slow(2 * time.Millisecond)
	b.handler.cfg.SliceTime = 100 * time.Millisecond
	replies, err := b.drive()
	if err != nil {
		t.Fatal(err)
	}
	b.arrived()
	_, received := b.consumer.counts()
	if p := b.push(); replies < 2 || p.Slices != replies+1 || received != 8<<20 {
		t.Errorf("%d follow-ups, %d slices, %d bytes received", replies, p.Slices, received)
	}
}

func TestAFollowUpWakesOnlyWhoPushes(t *testing.T) {
	b := newBench(t, 8<<20)
	b.consumer.slow(20 * time.Millisecond)
	b.handler.cfg.SliceTime = 100 * time.Millisecond
	reply, err := b.handler.Handle(t.Context(), b.started())
	if err != nil || reply == nil || reply.Type() != catalogue.TransferProgressed {
		t.Fatalf("%v %v", reply, err)
	}
	if x := reply.Extensions(); x[catalogue.ExtFlowRole] != "PROVIDER" || x[catalogue.ExtFlowDirection] != "PUSH" {
		t.Errorf("extensions %v", x)
	}
}

// TestAPlainPushIsNotCutIntoSlices: what can't be continued would never end.
func TestAPlainPushIsNotCutIntoSlices(t *testing.T) {
	b := newBench(t, 4<<20)
	b.consumer.plain = true
	b.consumer.slow(5 * time.Millisecond)
	b.handler.cfg.SliceTime = 20 * time.Millisecond
	if replies, err := b.drive(); err != nil || replies != 0 {
		t.Fatal(replies, err)
	}
	b.arrived()
}

func TestASuspensionEndsAPush(t *testing.T) {
	b := newBench(t, 64<<20)
	b.consumer.slow(5 * time.Millisecond)
	b.handler.cfg.LeaseTime = 60 * time.Millisecond
	done := make(chan error, 1)
	go func() {
		reply, err := b.handler.Handle(t.Context(), b.started())
		if reply != nil {
			err = fmt.Errorf("it goes on by %s", reply.Type())
		}
		done <- err
	}()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		if _, n := b.consumer.counts(); n > 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("nothing comes")
		}
	}
	b.flow(dps.Suspended)
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Fatal("it goes on")
	}
	// The resumed flow goes on where it was.
	b.flow(dps.Started)
	b.consumer.slow(0)
	if _, err := b.drive(); err != nil {
		t.Fatal(err)
	}
	b.arrived()
	if last := b.consumer.ranges[len(b.consumer.ranges)-1]; !strings.HasPrefix(last, "bytes ") || strings.HasPrefix(last, "bytes 0") {
		t.Errorf("ranges %q", b.consumer.ranges)
	}
}

func TestOneOfTwoInvocationsAtOnceWorks(t *testing.T) {
	b := newBench(t, 4<<20)
	b.consumer.slow(time.Millisecond)
	var work sync.WaitGroup
	for range 4 {
		work.Go(func() {
			if _, err := b.drive(); err != nil {
				t.Error(err)
			}
		})
	}
	work.Wait()
	b.arrived()
	if puts, _ := b.consumer.counts(); puts != 1 {
		t.Errorf("%d pushes", puts)
	}
}

func TestAnotherVersionThanRegisteredIsNotSent(t *testing.T) {
	b := newBench(t, 1000)
	if err := os.WriteFile(filepath.Join(b.dir, "data.csv"), []byte("a newer version"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := b.handler.Handle(t.Context(), b.started())
	if puts, _ := b.consumer.counts(); problem.EventStatus(err) != 503 || puts != 0 {
		t.Errorf("%v, %d pushes", err, puts)
	}
	b.content = []byte("a newer version")
	b.publish(b.content)
	if _, err := b.drive(); err != nil {
		t.Fatal(err)
	}
	b.arrived()
}

// TestAGatewayThatFails loses answers and calls of the gateway; the data comes once all the same.
func TestAGatewayThatFails(t *testing.T) {
	b := newBench(t, 1<<20)
	b.handler.cfg.LeaseTime = 50 * time.Millisecond // the lease of an invocation whose last words were lost runs out
	var mu sync.Mutex
	rnd := rand.New(rand.NewPCG(1, 2)) // a fault at each third call would meet the same call of every invocation
	b.gateway.Fail(func(method, _ string) gatewaytest.Fault {
		mu.Lock()
		defer mu.Unlock()
		if method == http.MethodGet || rnd.IntN(3) != 0 {
			return gatewaytest.None
		}
		return gatewaytest.Fault(1 + rnd.IntN(2))
	})
	if _, err := b.drive(); err != nil {
		t.Fatal(err)
	}
	b.arrived()
}
