package data

import (
	"context"
	"sync"
	"time"

	"github.com/tidegate/tidegate/shared/objectstore"
	"github.com/tidegate/tidegate/shared/tenant"
)

const (
	storeFresh = 5 * time.Minute // then a bucket is opened anew, so that rotated credentials take effect
	storeIdle  = 2 * time.Minute // then a bucket that nobody reads is closed
)

// stores keeps the buckets of tenants open: opening one reads credentials and may make connections. A bucket is known by all
// that its tenant's document says of it, so a changed document opens another.
type stores struct {
	open func(ctx context.Context, b tenant.Bucket) (objectstore.Store, error)

	mu    sync.Mutex
	known map[tenant.Bucket]*openStore
}

type openStore struct {
	objectstore.Store
	bucket tenant.Bucket
	owner  *stores

	// Guarded by owner.mu.
	users   int
	opened  time.Time
	used    time.Time
	dropped bool
}

// get returns an open bucket; its release must be called once.
func (s *stores) get(ctx context.Context, b tenant.Bucket) (*openStore, error) {
	if o := s.take(b); o != nil {
		return o, nil
	}
	store, err := s.open(ctx, b)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	o := &openStore{Store: store, bucket: b, owner: s, users: 1, opened: now, used: now}
	if s.known == nil {
		s.known = map[tenant.Bucket]*openStore{}
	}
	if old := s.known[b]; old != nil { // another request was faster, or it has aged
		s.drop(old)
	}
	s.known[b] = o
	return o, nil
}

func (s *stores) take(b tenant.Bucket) *openStore {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.known[b]
	if o == nil || time.Since(o.opened) > storeFresh {
		return nil
	}
	o.users++
	return o
}

// release lets go of the bucket.
func (o *openStore) release() {
	s := o.owner
	s.mu.Lock()
	defer s.mu.Unlock()
	o.users--
	o.used = time.Now()
	if o.dropped && o.users == 0 {
		_ = o.Close() // nothing is written through it
	}
}

// drop forgets a bucket, and closes it when its last user has gone. s.mu is held.
func (s *stores) drop(o *openStore) {
	if s.known[o.bucket] == o {
		delete(s.known, o.bucket)
	}
	o.dropped = true
	if o.users == 0 {
		_ = o.Close()
	}
}

func (s *stores) closeIdle() {
	s.closeIf(func(o *openStore) bool { return time.Since(o.used) > storeIdle })
}

func (s *stores) close() { s.closeIf(func(*openStore) bool { return true }) }

func (s *stores) closeIf(done func(*openStore) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range s.known {
		if o.users == 0 && done(o) {
			s.drop(o)
		}
	}
}
