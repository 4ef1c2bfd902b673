package planetest

import (
	"sync"
	"time"

	"github.com/tidegate/tidegate/functions/internal/gatewaytest"
	"github.com/tidegate/tidegate/shared/problem"
)

// Clock is a clock that a test moves.
type Clock struct {
	mu sync.Mutex
	at time.Time
}

// NewClock returns a clock that stands at a full second.
func NewClock() *Clock { return &Clock{at: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)} }

// Now is the time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

// Advance moves the clock on.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// Faults counts the calls that a function makes to the outside, whoever is called, and makes them fail as it was told.
type Faults struct {
	mu    sync.Mutex
	calls int
	plan  func(call int) gatewaytest.Fault
}

// Once makes call k (the first is 1) fail once.
func (f *Faults) Once(k int, kind gatewaytest.Fault) {
	f.Plan(func(call int) gatewaytest.Fault {
		if call == k {
			return kind
		}
		return gatewaytest.None
	})
}

// Die makes call k fail and all that follow it, as for a process that is killed.
func (f *Faults) Die(k int, kind gatewaytest.Fault) {
	f.Plan(func(call int) gatewaytest.Fault {
		switch {
		case call == k:
			return kind
		case call > k:
			return gatewaytest.Before
		}
		return gatewaytest.None
	})
}

// Plan sets how calls fail from now on, by their number, and counts from 1 again. nil = none fails.
func (f *Faults) Plan(plan func(call int) gatewaytest.Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.plan, f.calls = plan, 0
}

// Calls is the number of calls since Plan.
func (f *Faults) Calls() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls
}

// Next counts a call and tells how it is to fail.
func (f *Faults) Next() gatewaytest.Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls++
	if f.plan == nil {
		return gatewaytest.None
	}
	return f.plan(f.calls)
}

// Publication makes a publication fail: give both results to eventtest.Sink.Fail.
func (f *Faults) Publication() (before, after func() error) {
	var mu sync.Mutex
	next := gatewaytest.None
	broken := problem.New(problem.Unavailable, "the broker can't be reached")
	before = func() error {
		kind := f.Next()
		mu.Lock()
		defer mu.Unlock()
		next = kind
		if kind == gatewaytest.Before {
			return broken
		}
		return nil
	}
	after = func() error {
		mu.Lock()
		defer mu.Unlock()
		if next == gatewaytest.After {
			return broken
		}
		return nil
	}
	return before, after
}
