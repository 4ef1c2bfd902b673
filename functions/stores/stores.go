// Package stores keeps the buckets of tenants open between events: opening one reads credentials and, for S3, makes a
// client with its own connections.
package stores

import (
	"context"
	"sync"
	"time"

	"github.com/tidegate/tidegate/shared/objectstore"
	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/tenant"
)

const (
	maxOpen  = 256             // buckets
	keepOpen = 5 * time.Minute // then it is opened anew, so that rotated credentials take effect
	grace    = time.Minute     // how long a bucket that fell out of use stays open for handlers that still hold it
)

// Pool opens each bucket once. The zero Pool is not ready: use New.
type Pool struct {
	mu   sync.Mutex
	open map[tenant.Bucket]entry
}

type entry struct {
	store  objectstore.Store
	opened time.Time
}

// New returns an empty pool.
func New() *Pool { return &Pool{open: map[tenant.Bucket]entry{}} }

// Open returns the store of a tenant's bucket. The pool owns it: do not close it. An unknown name is problem.NotFound.
func (p *Pool) Open(ctx context.Context, t *tenant.Tenant, name string) (objectstore.Store, error) {
	b, ok := t.Bucket(name)
	if !ok {
		return nil, problem.New(problem.NotFound, "the tenant's document has no bucket %q", name)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if e, ok := p.open[b]; ok && time.Since(e.opened) < keepOpen {
		return e.store, nil
	}
	store, err := objectstore.Open(ctx, b)
	if err != nil {
		return nil, err
	}
	p.drop(b)
	if len(p.open) >= maxOpen {
		p.dropOldest()
	}
	p.open[b] = entry{store: store, opened: time.Now()}
	return store, nil
}

// Close closes all stores.
func (p *Pool) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for b, e := range p.open {
		_ = e.store.Close() // nothing is written through it any more
		delete(p.open, b)
	}
}

func (p *Pool) drop(b tenant.Bucket) {
	e, ok := p.open[b]
	if !ok {
		return
	}
	delete(p.open, b)
	time.AfterFunc(grace, func() { _ = e.store.Close() })
}

func (p *Pool) dropOldest() {
	var oldest tenant.Bucket
	var at time.Time
	for b, e := range p.open {
		if at.IsZero() || e.opened.Before(at) {
			oldest, at = b, e.opened
		}
	}
	p.drop(oldest)
}
