package outbox

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// lineKey names a line: entries of one line are sent one after the other.
type lineKey struct {
	pc, subject string
	lane        Lane
}

// shard is a shard whose lease is held: what was read of its stream and not got rid of yet, in lines.
type shard struct {
	number int
	ctx    context.Context //nolint:containedctx // the lease's life, which ends all sends of the shard
	drop   context.CancelFunc
	until  atomic.Int64 // the lease, in ns since start
	lapsed atomic.Bool  // it ran out once, so walks may have stopped: what was read is to be read anew

	mu      sync.Mutex
	cursor  string // id of the last entry that was read
	pending int
	lines   map[lineKey][]*Entry
	closed  bool
	walks   int // lines that are being walked
	unacked int // entries that were accepted and are still in the stream

	leaving bool // it is handed over; guarded by the relay
}

// clock is the start of the monotonic clock by which leases are judged.
var clock = time.Now()

func newShard(ctx context.Context, number int, until time.Time) *shard {
	s := &shard{number: number, cursor: "0-0", lines: map[lineKey][]*Entry{}}
	s.ctx, s.drop = context.WithCancel(ctx)
	s.until.Store(int64(until.Sub(clock)))
	return s
}

// renew tells whether the lease could be prolonged before it ran out. Once it has, the shard is of no more use, whoever has the lease now.
func (s *shard) renew(until time.Time) bool {
	if !s.mine() {
		return false
	}
	s.until.Store(int64(until.Sub(clock)))
	return !s.lapsed.Load()
}

// mine tells whether the lease is held for sure, and has been without a gap.
func (s *shard) mine() bool {
	if s.lapsed.Load() {
		return false
	}
	if int64(time.Since(clock)) < s.until.Load() {
		return true
	}
	s.lapsed.Store(true)
	return false
}

func (s *shard) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
}

// room returns from where on, and how many entries may be read.
func (s *shard) room() (after string, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || !s.mine() {
		return s.cursor, 0
	}
	return s.cursor, min(readCount, maxPending-s.pending)
}

// add takes an entry that was read, and tells whether its line was empty: then somebody must walk it.
func (s *shard) add(e *Entry) (key lineKey, walk bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key = lineKey{e.PC, e.Subject, e.Lane}
	line, busy := s.lines[key]
	s.lines[key] = append(line, e)
	s.cursor = e.ID
	s.pending++
	if !busy {
		s.walks++
	}
	return key, !busy
}

// first returns the entry whose turn it is in the line; false if there is none, and the line is gone.
func (s *shard) first(key lineKey) (*Entry, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	line := s.lines[key]
	if s.closed || len(line) == 0 {
		delete(s.lines, key)
		return nil, false
	}
	return line[0], true
}

// shift removes the first entry of the line, which was sent or parked.
func (s *shard) shift(key lineKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines[key] = s.lines[key][1:]
}

// walked tells that a walk has ended.
func (s *shard) walked() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.walks--
}

// accepted tells that an entry was accepted, and waits to be removed from the stream.
func (s *shard) accepted() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unacked++
}

// removed tells that n accepted entries are out of the stream.
func (s *shard) removed(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unacked -= n
}

// busy tells whether anything is under way.
func (s *shard) busy() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.walks > 0 || s.unacked > 0
}

// isClosed tells whether nothing new may be begun.
func (s *shard) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// done tells that an entry is out of the stream; it returns whether the shard was full until now.
func (s *shard) done(n int) (wasFull bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	wasFull = s.pending >= maxPending
	s.pending -= n
	return wasFull
}

func (s *shard) size() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pending
}
