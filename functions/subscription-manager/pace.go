package main

import (
	"sync"
	"time"
)

const (
	defaultEvery = 30 * time.Second // between two looks at a catalog, if the document says nothing
	recordsEvery = 30 * time.Second // between two looks at what is under way, however seldom the catalog is looked at
)

// look says what is to be looked at.
type look int

// The looks.
const (
	nothing look = iota
	records      // what is under way, and what is to be tried again
	catalog      // that and everything that the catalog offers
)

// pace remembers when each subscription was looked at last: the schedule ticks for all tenants alike, each subscription has a
// pace of its own. A new process knows nothing and looks at once. It also keeps a look that takes longer than a tick from being
// joined by another one.
type pace struct {
	mu   sync.Mutex
	last map[string]beat
}

type beat struct {
	running          bool
	records, catalog time.Time
}

func newPace() *pace { return &pace{last: map[string]beat{}} }

// begin tells what is due. What it tells has begun: end must follow.
func (p *pace) begin(key string, every time.Duration, now time.Time) look {
	if every <= 0 {
		every = defaultEvery
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	b := p.last[key]
	var what look
	switch {
	case b.running:
		return nothing
	case now.Sub(b.catalog) >= every:
		what, b.catalog, b.records = catalog, now, now
	case now.Sub(b.records) >= recordsEvery:
		what, b.records = records, now
	default:
		return nothing
	}
	b.running = true
	p.last[key] = b
	return what
}

// end says that a look has ended. A catalog that could not be looked through is looked at again soon, not only after a day
// because the document says once a day.
func (p *pace) end(key string, what look, every time.Duration, complete bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	b := p.last[key]
	b.running = false
	if what == catalog && !complete && every > defaultEvery {
		b.catalog = b.catalog.Add(defaultEvery - every)
	}
	p.last[key] = b
}

// seen is when a subscription was looked at last.
func (p *pace) seen(key string) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last[key].records
}
