// Package lease holds a record of the gateway for one invocation, while it works in a slice of time: of two that were given the
// same work one goes on, and the other is told to come again.
//
// Every write of the record goes through the lease, renews it, and is a compare-and-set, so an invocation finds out when its hold
// is lost: because it hung for longer than the lease lasts, and another has taken over.
package lease

import (
	"context"
	"crypto/rand"
	"sync"
	"time"

	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/problem"
)

// ErrLost is the cause of a slice's end when another invocation has taken the work over.
var ErrLost = problem.New(problem.Unavailable, "another invocation is at work on this flow")

// longestWait bounds how long a caller is asked to stay away.
const longestWait = 5 * time.Second

// Record is what is held, and how long.
type Record[T any] struct {
	Gateway              *gatewayapi.Client
	ParticipantContextID string
	Kind                 gatewayapi.Kind
	ID                   string
	Time                 time.Duration // after which an owner that does not renew counts as dead
	Now                  func() time.Time
	Hold                 func(doc *T) (owner *string, until *time.Time) // where the document keeps the lease
	Stamp                func(doc *T, now time.Time)                    // readies the document for a write
}

// Lease is an invocation's hold. It may be used by many goroutines.
type Lease[T any] struct {
	of    Record[T]
	owner string

	mu       sync.Mutex
	doc      T
	revision string // "" = there is no record yet
}

// Claim takes the lease on a document as it was read, or says when to try again. An empty revision says that there is none yet.
func Claim[T any](ctx context.Context, of Record[T], doc T, revision string) (*Lease[T], error) {
	owner, until := of.Hold(&doc)
	if wait := until.Sub(of.Now()); *owner != "" && wait > 0 {
		return nil, again(min(wait, longestWait))
	}
	l := &Lease[T]{of: of, owner: rand.Text(), doc: doc, revision: revision}
	return l, l.Save(ctx, func(*T) {})
}

// Save changes the document and renews the lease.
func (l *Lease[T]) Save(ctx context.Context, change func(doc *T)) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	next := l.doc
	change(&next)
	owner, until := l.of.Hold(&next)
	*owner, *until = l.owner, l.of.Now().Add(l.of.Time).UTC()
	return l.put(ctx, next)
}

// Release changes the document and gives the lease back.
func (l *Lease[T]) Release(ctx context.Context, change func(doc *T)) (T, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	next := l.doc
	change(&next)
	owner, until := l.of.Hold(&next)
	*owner, *until = "", time.Time{}
	err := l.put(ctx, next)
	return l.doc, err
}

// Note changes the document without writing it: the next write does.
func (l *Lease[T]) Note(change func(doc *T)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(&l.doc)
}

// Get returns the document as this invocation has written it last.
func (l *Lease[T]) Get() T {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.doc
}

func (l *Lease[T]) put(ctx context.Context, next T) error {
	l.of.Stamp(&next, l.of.Now().UTC())
	rev, err := l.write(ctx, next)
	if problem.Is(err, problem.Stale) && l.reread(ctx) {
		rev, err = l.write(ctx, next)
	}
	if problem.Is(err, problem.Stale) {
		return ErrLost
	}
	if err != nil {
		return err
	}
	l.doc, l.revision = next, rev
	return nil
}

func (l *Lease[T]) write(ctx context.Context, doc T) (revision string, err error) {
	cond := gatewayapi.IfAbsent()
	if l.revision != "" {
		cond = gatewayapi.IfRevision(l.revision)
	}
	return l.of.Gateway.Put(ctx, l.of.ParticipantContextID, l.of.Kind, l.of.ID, doc, cond)
}

// reread takes the record's revision if its last writer is this invocation: the answer to that write was lost on the way.
func (l *Lease[T]) reread(ctx context.Context) bool {
	var doc T
	rev, err := l.of.Gateway.Get(ctx, l.of.ParticipantContextID, l.of.Kind, l.of.ID, &doc)
	if owner, _ := l.of.Hold(&doc); err != nil || *owner != l.owner {
		return false
	}
	l.revision = rev
	return true
}

// Keep renews the lease while a slice runs, and ends the slice if the lease is lost or alive returns an error. The function that
// it returns stops it. A gateway that can't be reached is borne as long as the lease lasts.
func (l *Lease[T]) Keep(slice context.Context, end context.CancelCauseFunc, change func(doc *T), alive func(context.Context) error) (stop func()) {
	var work sync.WaitGroup
	quit := make(chan struct{})
	work.Go(func() {
		tick := time.NewTicker(max(l.of.Time/3, time.Millisecond))
		defer tick.Stop()
		for {
			select {
			case <-quit:
				return
			case <-slice.Done():
				return
			case <-tick.C:
			}
			err := l.Save(slice, change)
			if slice.Err() != nil {
				return
			}
			if err != nil && (err == error(ErrLost) || !l.holds()) { //nolint:errorlint // put returns this very value
				end(ErrLost)
				return
			}
			if err := alive(slice); err != nil {
				end(err)
				return
			}
		}
	})
	return func() { close(quit); work.Wait() }
}

// holds tells whether the lease, as it was written last, still lasts.
func (l *Lease[T]) holds() bool {
	doc := l.Get()
	_, until := l.of.Hold(&doc)
	return until.After(l.of.Now())
}

func again(wait time.Duration) error {
	e := problem.New(problem.Unavailable, "another invocation is at work on this flow")
	e.RetryAfter = wait
	return e
}
