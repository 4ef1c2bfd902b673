package engine

import (
	"context"
	"sync"
	"time"
)

// locks serialise the steps of one conversation: both sides of a negotiation or a transfer. Holding one while the other side is
// called is what makes the sides' order of states the observed one.
type locks struct {
	mu   sync.Mutex
	held map[string]*held
}

type held struct {
	free chan struct{}
	refs int
}

// lock waits until the context ends, and at most the given time (0 = as long as the context lets it).
func (l *locks) lock(ctx context.Context, key string, patience time.Duration) (unlock func(), ok bool) {
	l.mu.Lock()
	if l.held == nil {
		l.held = map[string]*held{}
	}
	h := l.held[key]
	if h == nil {
		h = &held{free: make(chan struct{}, 1)}
		h.free <- struct{}{}
		l.held[key] = h
	}
	h.refs++
	l.mu.Unlock()

	drop := func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if h.refs--; h.refs == 0 {
			delete(l.held, key)
		}
	}
	var expired <-chan time.Time
	if patience > 0 {
		t := time.NewTimer(patience)
		defer t.Stop()
		expired = t.C
	}
	select {
	case <-h.free:
		return func() { h.free <- struct{}{}; drop() }, true
	case <-expired:
	case <-ctx.Done():
	}
	drop()
	return nil, false
}
