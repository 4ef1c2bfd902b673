package data

import (
	"context"
	"sync"
	"time"

	"github.com/tidegate/tidegate/dps-gateway/internal/flowstore"
	"github.com/tidegate/tidegate/shared/problem"
)

const (
	liveTimeout = 3 * time.Second // of one round trip to Redis
	liveBatch   = 256             // reads in one round trip
	liveFlights = 2               // round trips under way at once
)

// Served reads the live state of flows and their datasets; *flowstore.Redis does.
type Served interface {
	ServedMany(ctx context.Context, refs []flowstore.ServedRef) ([]flowstore.Served, error)
}

// liveReader reads the live state for each request, and lets requests that come at the same time share a round trip: the
// read begins after the request has arrived, always.
type liveReader struct {
	source Served

	mu      sync.Mutex
	flights int
	waiting []*liveRead
}

type liveRead struct {
	ref  flowstore.ServedRef
	done chan struct{}
	out  flowstore.Served
	err  error
}

func (l *liveReader) read(ctx context.Context, ref flowstore.ServedRef) (flowstore.Served, error) {
	r := &liveRead{ref: ref, done: make(chan struct{})}
	l.mu.Lock()
	l.waiting = append(l.waiting, r)
	if l.flights < liveFlights {
		l.flights++
		go l.fly(context.WithoutCancel(ctx)) // the round trip is shared: one caller that goes must not end it
	}
	l.mu.Unlock()
	select {
	case <-r.done:
		return r.out, r.err
	case <-ctx.Done():
		return flowstore.Served{}, problem.Wrap(problem.Unavailable, ctx.Err(), "the request was given up")
	}
}

// fly makes round trips until nobody waits.
func (l *liveReader) fly(ctx context.Context) {
	for {
		l.mu.Lock()
		n := min(len(l.waiting), liveBatch)
		if n == 0 {
			l.flights--
			l.mu.Unlock()
			return
		}
		batch := l.waiting[:n:n]
		l.waiting = l.waiting[n:]
		if len(l.waiting) == 0 {
			l.waiting = nil
		}
		l.mu.Unlock()
		l.one(ctx, batch)
	}
}

func (l *liveReader) one(ctx context.Context, batch []*liveRead) {
	ctx, cancel := context.WithTimeout(ctx, liveTimeout)
	defer cancel()
	refs := make([]flowstore.ServedRef, len(batch))
	for i, r := range batch {
		refs[i] = r.ref
	}
	out, err := l.source.ServedMany(ctx, refs)
	for i, r := range batch {
		if err != nil {
			r.err = err
		} else {
			r.out = out[i]
		}
		close(r.done)
	}
}
