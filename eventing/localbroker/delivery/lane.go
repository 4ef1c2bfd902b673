package delivery

import (
	"container/heap"
	"context"
	"sync"
	"time"

	"github.com/tidegate/tidegate/eventing/localbroker/store"
)

const (
	askFirst = 50 * time.Millisecond // pause after the first refused connection; doubled each time
	askMax   = time.Second
)

// lane is the queue in front of one destination of one Trigger.
type lane struct {
	trigger    string // namespace/name
	deadLetter bool
	broker     string // namespace/name
	target     target
	timeout    time.Duration
	limit      int
	policy     policy

	wake chan struct{}

	mu      sync.Mutex
	queue   queue
	running int
	refused int       // connections in a row
	askAt   time.Time // while refused > 0: no attempt before

	counters
}

// item is a delivery that waits.
type item struct {
	seq   uint64
	state store.State
}

func (l *lane) key(seq uint64) store.Key {
	return store.Key{Seq: seq, DeadLetter: l.deadLetter, Trigger: l.trigger}
}

// push queues a delivery; it is due at state.NotBefore.
func (l *lane) push(it item) {
	l.mu.Lock()
	heap.Push(&l.queue, it)
	l.mu.Unlock()
	l.signal()
}

func (l *lane) signal() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// waiting returns the number of deliveries in the queue and under way.
func (l *lane) waiting() (queued, running int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.queue), l.running
}

// next takes a delivery that may start now. If there is none, it returns how long to sleep; 0 = until something happens.
func (l *lane) next(now time.Time) (it item, ok bool, sleep time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	limit, from := l.limit, now
	if l.refused > 0 {
		limit = 1 // one asks for all
		if l.askAt.After(now) {
			from = l.askAt
		}
	}
	if len(l.queue) == 0 || l.running >= limit {
		return item{}, false, 0
	}
	if due := l.queue[0].state.NotBefore; due.After(from) {
		from = due
	}
	if from.After(now) {
		return item{}, false, from.Sub(now)
	}
	l.running++
	it, _ = heap.Pop(&l.queue).(item)
	return it, true, 0
}

// ended frees the place of a delivery and notes whether somebody listened. It tells when that has changed.
func (l *lane) ended(unreachable bool, now time.Time) (changed bool) {
	l.mu.Lock()
	l.running--
	if unreachable {
		changed = l.refused == 0
		l.askAt = now.Add(min(exponential(askFirst, l.refused), askMax))
		l.refused++
	} else {
		changed = l.refused > 0
		l.refused = 0
	}
	l.mu.Unlock()
	l.signal()
	return changed
}

// run starts deliveries until ctx ends; start must not block.
func (l *lane) run(ctx context.Context, start func(item)) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for ctx.Err() == nil {
		it, ok, sleep := l.next(time.Now())
		if ok {
			start(it)
			continue
		}
		if sleep == 0 {
			sleep = time.Hour
		}
		timer.Reset(sleep)
		select {
		case <-ctx.Done():
		case <-l.wake:
		case <-timer.C:
		}
	}
}

// queue is a heap: what is due first comes first, and of the same time the older event.
type queue []item

func (q queue) Len() int { return len(q) }
func (q queue) Less(i, j int) bool {
	if !q[i].state.NotBefore.Equal(q[j].state.NotBefore) {
		return q[i].state.NotBefore.Before(q[j].state.NotBefore)
	}
	return q[i].seq < q[j].seq
}
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }

// Push is for container/heap.
func (q *queue) Push(x any) {
	if it, ok := x.(item); ok {
		*q = append(*q, it)
	}
}

// Pop is for container/heap.
func (q *queue) Pop() any {
	old := *q
	it := old[len(old)-1]
	*q = old[:len(old)-1]
	return it
}
