package gateway_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidegate/tidegate/dps-gateway/internal/gateway"
	"github.com/tidegate/tidegate/shared/dps"
)

// signalsOnly are the calls of control planes, all that TestRedisInTrouble makes, and how they are answered.
var signalsOnly = map[string]int{
	"prepare": 200, "start": 200, "suspend": 200, "resume": 200, "terminate": 200, "completed": 200, "status": 200,
	"register": 200, "deregister": 204, "event": 204, "veto": 204,
}

// patient is a world whose gateway has signals wait, with a flow for each of them.
type patient struct {
	*faulty
	flows map[string]grant
	calls map[string]call
}

func newPatient(t *testing.T, f *faulty) *patient {
	t.Helper()
	d := f.publish("provider", "b.txt", []byte("content"))
	flows := map[string]grant{}
	for _, flow := range []string{"suspended", "resumed", "terminated", "completed", "word", "read"} {
		flows[flow] = f.startFlow("provider", d)
	}
	f.signal("provider", flows["resumed"].flow+"/suspend", map[string]any{"messageId": "s-0"})
	return &patient{faulty: f, flows: flows, calls: f.calls(flows, grant{}, d)}
}

// waiting is how many signals wait, by the metric.
func (p *patient) waiting() string {
	p.w.tb.Helper()
	res, err := p.hc.Get("http://" + p.metrics + "/metrics")
	if err != nil {
		p.w.tb.Fatal(err)
	}
	defer res.Body.Close()
	b, _ := io.ReadAll(res.Body)
	for line := range strings.Lines(string(b)) {
		if n, ok := strings.CutPrefix(line, "tidegate_signals_waiting "); ok {
			return strings.TrimSpace(n)
		}
	}
	return "none"
}

// all makes every signal at once, and calls meanwhile when all of them wait.
func (p *patient) all(t *testing.T, meanwhile func()) map[string]answer {
	t.Helper()
	var mu sync.Mutex
	got := map[string]answer{}
	var sending sync.WaitGroup
	for what := range signalsOnly {
		sending.Go(func() {
			a := p.calls[what].do(p.running)
			mu.Lock()
			defer mu.Unlock()
			got[what] = a
		})
	}
	meanwhile()
	sending.Wait()
	return got
}

// once tells whether each signal was answered with success, has happened once, and is answered the same again.
func (p *patient) once(t *testing.T, first map[string]answer) {
	t.Helper()
	for what, code := range signalsOnly {
		a := first[what]
		if a.code != code {
			t.Errorf("%s: %d %s", what, a.code, a.body)
		}
		if what == "deregister" {
			continue // then there is nothing to remove
		}
		if again := p.calls[what].do(p.running); again.code != a.code || string(again.body) != string(a.body) {
			t.Errorf("%s, again: %d %s, at first %s", what, again.code, again.body, a.body)
		}
	}
	for id, want := range map[string]struct {
		state    dps.State
		revision int64
	}{
		"new-prepared": {dps.Prepared, 1}, "new-started": {dps.Started, 1}, p.flows["suspended"].flow: {dps.Suspended, 2},
		p.flows["resumed"].flow: {dps.Started, 3}, p.flows["terminated"].flow: {dps.Terminated, 2}, p.flows["completed"].flow: {dps.Completed, 2},
	} {
		if fl, err := p.api.Flow(t.Context(), "provider", id); err != nil || fl.State != want.state || fl.Revision != want.revision {
			t.Errorf("%s is %+v: %v; want %+v", id, fl, err, want)
		}
	}
}

// TestSignalsWaitForARedisThatComesBack: in each trouble that a restart or a failover brings, signals wait, and when it is over they
// are answered as if nothing had been.
func TestSignalsWaitForARedisThatComesBack(t *testing.T) {
	for name, trouble := range troubles {
		if name == "it is full" {
			continue // see TestNoSignalWaitsInVain
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPatient(t, newTroubled(t, name, func(c *gateway.Config) { c.SignalWait = 5 * time.Minute }))
			trouble.begin(t, p.faulty)
			wait := "11"
			if trouble.readable {
				wait = "9" // the status and the question before a negotiation are answered
			}
			got := p.all(t, func() {
				within(t, "the signals wait", func() bool { return p.waiting() == wait })
				trouble.end(t, p.faulty)
			})
			p.once(t, got)
			if n := p.waiting(); n != "0" {
				t.Errorf("%s signals still wait", n)
			}
		})
	}
}

// TestNoSignalWaitsInVain: for room in a full Redis an operator is needed; and where nobody brings it back the time to wait ends.
func TestNoSignalWaitsInVain(t *testing.T) {
	t.Run("full", func(t *testing.T) {
		p := newPatient(t, newFaultyWith(t, func(c *gateway.Config) { c.SignalWait = time.Hour }))
		troubles["it is full"].begin(t, p.faulty)
		p.passing("a full Redis", p.prepare("full"))
	})
	t.Run("away", func(t *testing.T) {
		p := newPatient(t, newFaultyWith(t, func(c *gateway.Config) { c.SignalWait = 2 * time.Second }))
		p.redis.Kill()
		began := time.Now()
		for what, a := range p.all(t, func() {}) {
			p.passing(what, a)
		}
		if took := time.Since(began); took < 2*time.Second {
			t.Errorf("all were answered after %v: none has waited", took)
		}
	})
}

// TestSoManySignalsWaitAndNoMore: the others are told to come again, at once.
func TestSoManySignalsWaitAndNoMore(t *testing.T) {
	const most, others = 2, 3
	p := newPatient(t, newFaultyWith(t, func(c *gateway.Config) { c.SignalWait, c.SignalsWaiting = time.Hour, most }))
	p.redis.Kill()
	waited := make(chan answer, most)
	for i := range most {
		go func() { waited <- p.prepare(fmt.Sprint("waits-", i)) }()
	}
	within(t, "as many wait as may", func() bool { return p.waiting() == fmt.Sprint(most) })
	for i := range others {
		p.passing("one too many", p.prepare(fmt.Sprint("over-", i)))
	}
	p.redis.Start()
	for range most {
		if a := <-waited; a.code != http.StatusOK {
			t.Errorf("%d %s", a.code, a.body)
		}
	}
}

// TestSignalsWaitThroughAFailoverOfSentinel kills the master under signals: all of them are answered by what the sentinels make of it.
func TestSignalsWaitThroughAFailoverOfSentinel(t *testing.T) {
	w, master := newWorldUnderSentinels(t)
	w.allowRegistration("provider")
	p := newPatient(t, &faulty{running: w.start(func(c *gateway.Config) {
		c.Redis.Timeout, c.SignalWait = 500*time.Millisecond, 5*time.Minute
	}), redis: master})
	within(t, "the replica has all", func() bool {
		return master.Client().Do(t.Context(), "WAIT", 1, 1000).Val() == int64(1)
	})
	master.Kill()
	began := time.Now()
	got := p.all(t, func() {})
	t.Logf("answered by the new master after %v", time.Since(began).Round(10*time.Millisecond))
	p.once(t, got)
}
