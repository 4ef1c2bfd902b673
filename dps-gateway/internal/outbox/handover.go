package outbox

import (
	"time"
)

// A relay that holds more shards than its share, since another one has come, hands the rest over: a few at a time, so that not all
// flows pause at once. A shard that is handed over is not read any more; what is under way ends, and is acknowledged, before the
// lease is given back, so that order within a flow is kept, and nothing is sent twice without need.
const (
	handoverRate = 8               // shards at once, and at most so many a leaseEvery
	handoverTime = 3 * time.Second // for what is under way; then it is broken off, and sent again by the heir
	handoverPoll = 5 * time.Millisecond
)

// holding are the numbers of the shards that are held.
func (r *Relay) holding() (held []int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, s := range r.shards {
		if s != nil {
			held = append(held, i)
		}
	}
	return held
}

// shed begins to hand over what is more than this relay's share.
func (r *Relay) shed() {
	r.mu.Lock()
	defer r.mu.Unlock()
	held, leaving := 0, 0
	for _, s := range r.shards {
		if s != nil {
			held++
			if s.leaving {
				leaving++
			}
		}
	}
	n := min(held-leaving-r.share, handoverRate-leaving)
	for _, s := range r.shards {
		if n <= 0 {
			return
		}
		if s == nil || s.leaving {
			continue
		}
		s.leaving = true
		n--
		r.sends.Go(func() { r.quiet(s) })
	}
}

// quiet waits until nothing of a shard is under way, and has its lease given back.
func (r *Relay) quiet(s *shard) {
	s.close()
	for deadline := time.Now().Add(handoverTime); s.busy(); {
		if time.Now().After(deadline) {
			break
		}
		if !pause(s.ctx, handoverPoll) {
			return // the lease is lost, or the relay ends and gives all back
		}
	}
	s.drop()
	select {
	case r.handed <- s.number:
	case <-r.ended:
	}
}

// handOver gives back the lease of a shard that has become quiet. It is called where leases are renewed, so that none is renewed
// after it was given back.
func (r *Relay) handOver(number int) (free []int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.shards[number]; s != nil && s.leaving {
		r.shards[number] = nil
		free = append(free, number)
	}
	return free
}
