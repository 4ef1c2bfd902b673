package store

import (
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/tidegate/tidegate/shared/problem"
)

const (
	deferAtMost  = 20 * time.Millisecond // a deferred change waits for company
	maxBatch     = 512                   // changes in one commit
	retryWriting = time.Second           // after a failed commit of deferred changes
)

// Change is a set of changes that happen together or not at all.
type Change struct {
	Events []NewEvent
	Add    []Delivery // of events that are there
	Update []Delivery // of deliveries that are there
	Remove []Key
}

// NewEvent is an event with the Triggers that want it.
type NewEvent struct {
	Record   *Record
	Triggers []string // at least one
}

type request struct {
	change *Change
	seqs   []uint64 // of the new events
	done   chan error
}

// Commit makes the change durable and returns the sequence numbers of the new events. It has no context: what was handed in
// may become durable, so the caller has to know whether it did.
func (s *Store) Commit(c *Change) ([]uint64, error) {
	r := &request{change: c, done: make(chan error, 1)}
	if !s.hand(r) {
		return nil, problem.New(problem.Unavailable, "the store is closed")
	}
	if err := <-r.done; err != nil {
		return nil, problem.Wrap(problem.Unavailable, err, "the event can't be stored")
	}
	return r.seqs, nil
}

// hand gives a request to the writer, if there still is one.
func (s *Store) hand(r *request) bool {
	s.life.RLock()
	defer s.life.RUnlock()
	if s.closed {
		return false
	}
	s.requests <- r
	return true
}

// Defer makes the change durable soon. Nobody is told when. It may hold no new events.
func (s *Store) Defer(c *Change) {
	s.mu.Lock()
	s.deferred = append(s.deferred, c)
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// write is the only writer.
func (s *Store) write() {
	defer close(s.stopped)
	var again <-chan time.Time // a commit is due for deferred changes alone
	for {
		select {
		case r, ok := <-s.requests:
			if !ok {
				s.commit(nil)
				return
			}
			s.commit(s.drain(r))
			again = nil
			if s.hasDeferred() {
				again = time.After(deferAtMost)
			}
		case <-s.wake:
			if again == nil {
				again = time.After(deferAtMost)
			}
		case <-again:
			again = nil
			if !s.commit(nil) {
				again = time.After(retryWriting)
			}
		}
	}
}

// drain takes what else waits.
func (s *Store) drain(first *request) []*request {
	batch := []*request{first}
	for len(batch) < maxBatch {
		select {
		case r, ok := <-s.requests:
			if !ok {
				return batch
			}
			batch = append(batch, r)
		default:
			return batch
		}
	}
	return batch
}

func (s *Store) hasDeferred() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.deferred) > 0
}

// commit writes the requests and all deferred changes in one transaction. If it fails, the deferred ones stay.
func (s *Store) commit(batch []*request) bool {
	s.mu.Lock()
	deferred := s.deferred
	s.deferred = nil
	s.mu.Unlock()
	if len(batch) == 0 && len(deferred) == 0 {
		return true
	}
	var d *delta
	err := s.db.Update(func(tx *bolt.Tx) error {
		d = newDelta(s, tx)
		for _, c := range deferred {
			if err := d.apply(c, nil); err != nil {
				return err
			}
		}
		for _, r := range batch {
			r.seqs = nil
			if err := d.apply(r.change, &r.seqs); err != nil {
				return err
			}
		}
		return d.removeDone()
	})
	if err == nil {
		d.publish()
	} else if len(deferred) > 0 {
		s.mu.Lock()
		s.deferred = append(deferred, s.deferred...)
		s.mu.Unlock()
	}
	for _, r := range batch {
		r.done <- err
	}
	return err == nil
}
