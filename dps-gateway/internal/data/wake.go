package data

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/tidegate/tidegate/shared/problem"
)

// warm is how long after an answer a data server counts as running. Platforms keep an idle one for longer than that before they
// scale it to zero.
const warm = 30 * time.Second

// doors let one request of a tenant wake a data server that may have scaled to zero. The tenant's others wait until it is
// answered, so many of them, instead of piling up before a program that is not there; the rest is told to come back. Each tenant has
// a door of its own, so that what one tenant's data needs to come up holds up no other tenant.
type doors struct {
	room int // requests of a tenant that wait at once

	mu sync.Mutex
	of map[string]*door // by participant context
}

// door is one tenant's way to the data server. It is guarded by doors.mu.
type door struct {
	warmUntil time.Time
	waking    *waking // nil: nobody wakes it
	waiting   int
}

// waking is one request that wakes the data server, for all who wait.
type waking struct {
	done chan struct{}
	err  error // why it did not come up
}

// turn is the right to ask the data server.
type turn struct {
	*doors
	at    *door
	wakes *waking // nil: others have woken it
}

// errNotAsked is told by a request that had the right to ask, and did not.
var errNotAsked = errors.New("the data server was not asked")

// enter waits for a turn: at once if the data server runs, or if nobody wakes it; then this request does. Who has a place already gives
// it up for the turn; nil if it has none. leave must follow.
func (d *doors) enter(ctx context.Context, pc string, has *place) (*turn, error) {
	for {
		t, w, err := d.try(pc, has)
		if w == nil {
			return t, err
		}
		select {
		case <-w.done:
		case <-ctx.Done():
		}
		d.mu.Lock()
		t.at.waiting--
		d.mu.Unlock()
		switch {
		case ctx.Err() != nil:
			return nil, serverFailure(ctx, ctx.Err())
		case w.err == nil:
			return t, nil
		case w.err != errNotAsked: //nolint:errorlint // never wrapped
			return nil, w.err
		}
	}
}

// try gives a turn, for which there may be something to wait for.
func (d *doors) try(pc string, has *place) (*turn, *waking, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	at := d.door(pc)
	if has != nil {
		has.leaveLocked()
	}
	t := &turn{doors: d, at: at}
	switch {
	case time.Now().Before(at.warmUntil):
		return t, nil, nil
	case at.waking == nil:
		t.wakes = &waking{done: make(chan struct{})}
		at.waking = t.wakes
		return t, nil, nil
	case at.waiting >= d.room && has == nil:
		return nil, nil, full()
	}
	at.waiting++
	return t, at.waking, nil
}

// door is the door of a tenant; d.mu is held.
func (d *doors) door(pc string) *door {
	at := d.of[pc]
	if at == nil {
		if d.of == nil {
			d.of = map[string]*door{}
		}
		at = &door{}
		d.of[pc] = at
	}
	return at
}

// place is a request's place among those that wait for the data server of a tenant.
type place struct {
	*doors
	at   *door
	left bool // guarded by doors.mu
}

// place takes a place, unless the data server runs: then there is nothing to wait for. Who asks on behalf of others must have one
// before the others come, so that it is not sent away with all of them. leave must follow.
func (d *doors) place(pc string) (*place, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	at := d.door(pc)
	switch {
	case time.Now().Before(at.warmUntil):
		return nil, nil
	case at.waiting >= d.room:
		return nil, full()
	}
	at.waiting++
	return &place{doors: d, at: at}, nil
}

// leave gives the place up. It may be called more than once, and on no place.
func (p *place) leave() {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.leaveLocked()
}

func (p *place) leaveLocked() {
	if !p.left {
		p.left = true
		p.at.waiting--
	}
}

// leave tells how it went: nil if the data server has answered, whatever it said.
func (t *turn) leave(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case err == nil:
		t.at.warmUntil = time.Now().Add(warm)
	case err != errNotAsked: //nolint:errorlint // never wrapped
		t.at.warmUntil = time.Time{}
	}
	if t.wakes != nil {
		t.wakes.err = err
		t.at.waking = nil
		close(t.wakes.done)
	}
}

// forget drops the doors of tenants that are gone and have nobody at them.
func (d *doors) forget(gone func(pc string) bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for pc, at := range d.of {
		if gone(pc) && at.waking == nil && at.waiting == 0 && time.Now().After(at.warmUntil) {
			delete(d.of, pc)
		}
	}
}

func full() error {
	e := problem.New(problem.Unavailable, "the provider's data server is starting, and as many requests as may wait for it do")
	e.RetryAfter = 2 * time.Second
	return e
}
