package signaling

import (
	"context"
	"math/rand/v2"
	"strconv"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/tidegate/tidegate/dps-gateway/internal/keys"
	"github.com/tidegate/tidegate/dps-gateway/internal/redisconn"
	"github.com/tidegate/tidegate/shared/problem"
)

// Patience has what control planes call wait while Redis is restarted or fails over: signals, registrations, events and the question before a
// negotiation. Control planes take every answer but a success as final: a 503 that would be mended two seconds later costs the transfer, or
// the negotiation, and an event is told once. A signal that waits is made again as a whole, which is what a control plane
// does that sends it again: what it has done already it does not do twice, and it gets the first answer.
type Patience struct {
	wait    time.Duration
	slots   chan struct{}
	writes  func(ctx context.Context, shard int) error
	probing singleflight.Group
}

// NewPatience returns a Patience: a signal waits for the time given, at most so many at once do; more are refused as all are without it.
// writes tells whether Redis takes writes of a shard.
func NewPatience(wait time.Duration, most int, writes func(ctx context.Context, shard int) error) *Patience {
	return &Patience{wait: wait, slots: make(chan struct{}, most), writes: writes}
}

const (
	probeWait  = time.Second // for Redis to say whether it takes writes
	probePause = 50 * time.Millisecond
)

// Waiting is how many signals wait.
func (p *Patience) Waiting() int { return len(p.slots) }

// do makes a signal of a tenant until it does not fail by a trouble of Redis that passes, or the time is over. A nil Patience has none.
func (p *Patience) do(ctx context.Context, pc string, signal func(ctx context.Context) error) error {
	began := time.Now()
	err := signal(ctx)
	if p == nil || !p.passes(ctx, pc, err) {
		return err
	}
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	default:
		return err
	}
	waits, cancel := context.WithDeadline(ctx, began.Add(p.wait))
	defer cancel()
	for p.passes(ctx, pc, err) && p.back(waits, keys.Shard(pc)) {
		err = signal(ctx)
	}
	return err
}

// passes tells whether a signal failed by a trouble of Redis that passes: ours, or that of a function, which reaches what Redis keeps by our
// internal API and so had no answer for us.
func (p *Patience) passes(ctx context.Context, pc string, err error) bool {
	if redisconn.Passes(err) || !problem.Is(err, problem.Unavailable) {
		return redisconn.Passes(err)
	}
	probe, cancel := context.WithTimeout(ctx, probeWait)
	defer cancel()
	trouble := p.writes(probe, keys.Shard(pc))
	return trouble != nil && redisconn.Passes(redisconn.Trouble(trouble))
}

// back waits until Redis takes writes of a shard; false if ctx ends before. All that wait ask by one probe.
func (p *Patience) back(ctx context.Context, shard int) bool {
	for pause := probePause; ; pause = min(2*pause, 8*probePause) {
		t := time.NewTimer(pause/2 + rand.N(pause)) //nolint:gosec // spreads load, guards nothing
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return false
		}
		answer := p.probing.DoChan(strconv.Itoa(shard), func() (any, error) {
			probe, cancel := context.WithTimeout(context.WithoutCancel(ctx), probeWait)
			defer cancel()
			return nil, p.writes(probe, shard)
		})
		select {
		case a := <-answer:
			if a.Err == nil {
				return true
			}
		case <-ctx.Done():
			return false
		}
	}
}
