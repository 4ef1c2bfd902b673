package outbox

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tidegate/tidegate/dps-gateway/internal/keys"
	"github.com/tidegate/tidegate/shared/problem"
)

// read reads the streams of the shards that are held: of one that was rung at once, of all every PollEvery. After a read it waits for
// more to come: without that, a steady flow of signals over few connections costs a round trip for each event.
func (r *Relay) read(ctx context.Context) {
	tick := time.NewTicker(r.cfg.PollEvery)
	defer tick.Stop()
	for {
		all := false
		select {
		case <-ctx.Done():
			return
		case <-r.bell.wakeUp:
		case <-tick.C:
			all = true
		}
		began := time.Now()
		r.readShards(ctx, r.due(all))
		if left := r.cfg.Gather - time.Since(began); left > 0 && !pause(ctx, left) {
			return
		}
	}
}

func (r *Relay) due(all bool) []*shard {
	r.mu.Lock()
	defer r.mu.Unlock()
	var due []*shard
	pending := 0
	for i, s := range r.shards {
		if s == nil {
			continue
		}
		pending += s.size()
		if r.bell.take(i) || all {
			due = append(due, s)
		}
	}
	r.cfg.Observer.Pending(pending)
	return due
}

// readShards reads on in the streams, in one round trip, and puts what it finds into lines.
func (r *Relay) readShards(ctx context.Context, due []*shard) {
	if len(due) == 0 {
		return
	}
	found := make([]*redis.XMessageSliceCmd, len(due))
	asked := make([]int, len(due))
	_, err := r.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, s := range due {
			after, n := s.room()
			if asked[i] = n; n > 0 {
				found[i] = p.XRangeN(ctx, keys.Outbox(s.number), "("+after, "+", int64(n))
			}
		}
		return nil
	})
	if err != nil && ctx.Err() == nil {
		r.log.Warn().Err(err).Msg("outbox: streams can't be read")
	}
	for i, s := range due {
		if found[i] == nil || found[i].Err() != nil {
			continue
		}
		for _, m := range found[i].Val() {
			fields := make(map[string]string, len(m.Values))
			for name, v := range m.Values {
				fields[name], _ = v.(string)
			}
			e := Decode(m.ID, fields)
			if key, walk := s.add(&e); walk {
				r.sends.Go(func() { r.walk(s, key) }) //nolint:contextcheck // sends live as long as the lease, not as this read
			}
		}
		if len(found[i].Val()) == asked[i] {
			r.bell.ring(s.number) // there may be more
		}
	}
}

// walk sends the entries of a line, one after the other, until it is empty.
func (r *Relay) walk(s *shard, key lineKey) {
	defer s.walked()
	for {
		e, ok := s.first(key)
		if !ok {
			return
		}
		switch r.deliver(s, e) {
		case sent:
			s.accepted()
			select {
			case r.acks <- ack{s, e.ID}:
			case <-s.ctx.Done():
				return
			}
		case gaveUp:
			r.freed(s, 1)
		case stopped:
			return
		}
		s.shift(key)
	}
}

type fate int

const (
	sent fate = iota
	gaveUp
	stopped // the lease is lost, or the relay ends: the entry stays in the stream
)

// deliver tries until the entry is accepted, or parked.
func (r *Relay) deliver(s *shard, e *Entry) fate {
	sender := r.cfg.Senders[e.Lane]
	for try := 1; ; try++ {
		var err error
		if sender == nil {
			err = problem.New(problem.Unprocessable, "no such lane: %q", e.Lane)
		} else if err = r.send(s, sender, e); err == nil {
			return sent
		}
		if s.ctx.Err() != nil || !s.mine() {
			return stopped
		}
		if hopeless(err) || (try >= r.cfg.MinTries && r.age(e) > r.cfg.MaxAge) {
			if r.park(s, e, try, err) {
				return gaveUp
			}
		}
		if s.isClosed() || !pause(s.ctx, r.backoff(try, err)) || s.isClosed() {
			return stopped
		}
	}
}

func (r *Relay) send(s *shard, sender Sender, e *Entry) error {
	slot := r.slots[e.Lane]
	select {
	case slot <- struct{}{}:
	case <-s.ctx.Done():
		return s.ctx.Err()
	}
	defer func() { <-slot }()
	if !s.mine() {
		return errors.New("the lease has run out")
	}
	start := time.Now()
	err := sender.Send(s.ctx, e)
	r.cfg.Observer.Sent(e.PC, e.Lane, time.Since(start), r.age(e), err)
	if err != nil && s.ctx.Err() == nil {
		r.log.Debug().Str("participant_context", e.PC).Str("lane", string(e.Lane)).Str("kind", e.Kind).Str("subject", e.Subject).Err(err).
			Msg("outbox: not accepted")
	}
	return err
}

func (r *Relay) park(s *shard, e *Entry, tries int, cause error) bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.ctx), parkDeadline)
	defer cancel()
	err := r.cfg.Parker.Park(ctx, e, fmt.Sprintf("after %d tries: %v", tries, cause))
	log := r.log.With().Str("participant_context", e.PC).Str("lane", string(e.Lane)).Str("kind", e.Kind).Str("subject", e.Subject).Logger()
	if err != nil {
		log.Error().Err(err).Msg("outbox: can't be parked, will be tried again")
		return false
	}
	log.Error().AnErr("cause", cause).Int("tries", tries).Msg("outbox: given up and parked")
	r.cfg.Observer.GaveUp(e.PC, e.Lane)
	return true
}

// hopeless tells whether the same entry can never be accepted.
func hopeless(err error) bool {
	switch problem.KindOf(err) {
	case problem.Invalid, problem.Unprocessable, problem.TooLarge:
		return true
	default:
		return false
	}
}

// age is the time since the entry was appended, by the time in its id.
func (r *Relay) age(e *Entry) time.Duration {
	ms, _, _ := strings.Cut(e.ID, "-")
	n, err := strconv.ParseInt(ms, 10, 64)
	if err != nil {
		return 0
	}
	return r.cfg.Now().Sub(time.UnixMilli(n))
}

// backoff is the pause after a failure: twice as long each time, less up to a half by chance, but no less than the other
// side asked for.
func (r *Relay) backoff(try int, err error) time.Duration {
	d := r.cfg.Backoff << min(try-1, 16)
	d = min(d, r.cfg.MaxPause)
	d -= time.Duration(rand.Int64N(int64(d)/2 + 1)) //nolint:gosec // spreads load, guards nothing
	if p, ok := errors.AsType[*problem.Error](err); ok {
		d = max(d, min(p.RetryAfter, r.cfg.MaxAge))
	}
	return d
}

func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
