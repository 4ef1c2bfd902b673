// Package cache is a bounded map whose entries end: what the gateway remembers to save work, never what it decides by.
package cache

import (
	"sync"
	"time"
)

// Cache holds at most 2×size entries. It drops the older half when the newer one is full, so an entry in use stays, and no
// operation walks the entries. It is safe for concurrent use.
type Cache[K comparable, V any] struct {
	size int

	mu    sync.RWMutex
	fresh map[K]entry[V]
	stale map[K]entry[V]
}

type entry[V any] struct {
	value V
	until time.Time
}

// New returns a cache that holds at least the last size entries that were used.
func New[K comparable, V any](size int) *Cache[K, V] {
	return &Cache[K, V]{size: size, fresh: map[K]entry[V]{}}
}

// Get returns an entry that has not ended.
func (c *Cache[K, V]) Get(key K) (V, bool) {
	c.mu.RLock()
	e, ok := c.fresh[key]
	old := false
	if !ok {
		e, ok = c.stale[key]
		old = ok
	}
	c.mu.RUnlock()
	if !ok || time.Now().After(e.until) {
		var zero V
		return zero, false
	}
	if old {
		c.put(key, e)
	}
	return e.value, true
}

// Put keeps a value until a time.
func (c *Cache[K, V]) Put(key K, value V, until time.Time) {
	c.put(key, entry[V]{value: value, until: until})
}

// Drop forgets an entry.
func (c *Cache[K, V]) Drop(key K) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.fresh, key)
	delete(c.stale, key)
}

func (c *Cache[K, V]) put(key K, e entry[V]) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.fresh) >= c.size {
		c.fresh, c.stale = make(map[K]entry[V], c.size/4), c.fresh
	}
	c.fresh[key] = e
	delete(c.stale, key)
}
