package store

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/tidegate/tidegate/shared/problem"
)

const (
	lockWait    = 2 * time.Second // for another process to let go of the file
	initialMmap = 64 << 20        // bytes of address space; growing the map would stop readers for a moment
)

var (
	eventsBucket     = []byte("events")
	deliveriesBucket = []byte("deliveries")
)

// Store is the broker's memory. Its methods may be called at the same time.
type Store struct {
	db *bolt.DB

	requests chan *request
	wake     chan struct{} // there are deferred changes
	stopped  chan struct{} // the writer has ended

	mu       sync.Mutex
	deferred []*Change
	refs     map[uint64]*ref // of each event

	life   sync.RWMutex // held for reading while a request is handed over
	closed bool

	deliveries atomic.Int64
	bytes      atomic.Int64
}

// ref counts the deliveries of an event.
type ref struct {
	n    int
	size int64
}

// Open opens or makes the store in the folder. Only one process can have it open.
func Open(dir string) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, problem.New(problem.Invalid, "data folder: %w", err)
	}
	name := filepath.Join(dir, "broker.db")
	db, err := bolt.Open(name, 0o600, &bolt.Options{
		Timeout: lockWait, NoFreelistSync: true, FreelistType: bolt.FreelistMapType, InitialMmapSize: initialMmap,
	})
	if errors.Is(err, bolterrors.ErrTimeout) {
		return nil, problem.New(problem.Conflict, "%s is in use by another process", name)
	}
	if err != nil {
		return nil, problem.New(problem.Invalid, "%s: %w", name, err)
	}
	s := &Store{
		db:       db,
		requests: make(chan *request, 1024),
		wake:     make(chan struct{}, 1),
		stopped:  make(chan struct{}),
		refs:     map[uint64]*ref{},
	}
	err = db.Update(func(tx *bolt.Tx) error {
		for _, b := range [][]byte{eventsBucket, deliveriesBucket} {
			if _, err := tx.CreateBucketIfNotExists(b); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		err = s.count()
	}
	if err != nil {
		_ = db.Close() // the first fault is the one to tell
		return nil, problem.New(problem.Invalid, "%s: %w", name, err)
	}
	go s.write()
	return s, nil
}

// count fills the counters from the file.
func (s *Store) count() error {
	return s.db.View(func(tx *bolt.Tx) error {
		events := tx.Bucket(eventsBucket)
		return tx.Bucket(deliveriesBucket).ForEach(func(k, _ []byte) error {
			key, ok := decodeKey(k)
			if !ok {
				return errRecord
			}
			r, ok := s.refs[key.Seq]
			if !ok {
				r = &ref{size: int64(len(events.Get(seqKey(key.Seq))))}
				s.refs[key.Seq] = r
				s.bytes.Add(r.size)
			}
			r.n++
			s.deliveries.Add(1)
			return nil
		})
	})
}

// Deliveries calls fn for each delivery that is not done, the oldest event first.
func (s *Store) Deliveries(fn func(Delivery)) error {
	return s.db.View(func(tx *bolt.Tx) error {
		return tx.Bucket(deliveriesBucket).ForEach(func(k, v []byte) error {
			key, ok := decodeKey(k)
			if !ok {
				return errRecord
			}
			state, err := decodeState(v)
			if err != nil {
				return err
			}
			fn(Delivery{Key: key, State: state})
			return nil
		})
	})
}

// Get returns an event that has a delivery left.
func (s *Store) Get(seq uint64) (*Record, error) {
	var r *Record
	err := s.db.View(func(tx *bolt.Tx) error {
		v := tx.Bucket(eventsBucket).Get(seqKey(seq))
		if v == nil {
			return problem.New(problem.NotFound, "no event %d", seq)
		}
		var err error
		r, err = decodeRecord(v)
		return err
	})
	return r, err
}

// Live tells whether the event has a delivery left.
func (s *Store) Live(seq uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.refs[seq] != nil
}

// Backlog returns the number of deliveries that are not done, and the size of their events in bytes.
func (s *Store) Backlog() (deliveries, size int64) { return s.deliveries.Load(), s.bytes.Load() }

// Close commits what was deferred and closes the file. What comes later is refused; what is deferred later is lost, which means a second delivery.
func (s *Store) Close() error {
	s.life.Lock()
	if s.closed {
		s.life.Unlock()
		return nil
	}
	s.closed = true
	close(s.requests)
	s.life.Unlock()
	<-s.stopped
	if err := s.db.Close(); err != nil {
		return problem.New(problem.Internal, "closing the store: %w", err)
	}
	return nil
}
