package data

import (
	"context"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"github.com/sony/gobreaker/v2"

	"github.com/tidegate/tidegate/shared/problem"
)

// part is what an answer needs beside the gateway.
type part string

const (
	dataServer  part = "data server"
	objectStore part = "object store"
)

const (
	breakerIdle = 10 * time.Minute // then a closed breaker that nobody used is forgotten
	breakAfter  = 5                // failures in a row
)

// back names a back end of a tenant's datasets: what one tenant's store or data server does is nothing to another tenant, and one
// bucket's nothing to another bucket.
type back struct {
	part       part
	pc, bucket string
}

// breakers spare a part that has failed breakAfter times in a row: for a pause its callers get a 503 at once instead of each
// waiting for the same failure; then one request tries. Only that a part can't be reached, does not answer in time or says so of
// what is behind it counts as its failure: what an answer says about the request itself does not, or one consumer could shut the
// door to the others by asking for what fails.
type breakers struct {
	pause   time.Duration
	metrics Metrics
	log     zerolog.Logger

	mu    sync.Mutex
	known map[back]*breaker
}

type breaker struct {
	*gobreaker.TwoStepCircuitBreaker[struct{}]
	used time.Time
}

// allow admits a call, or refuses it with Unavailable. Then the part's failure must be told to done, once: nil if there is none,
// errNotAsked if there was no call.
func (b *breakers) allow(to back) (done func(ctx context.Context, err error), err error) {
	tell, err := b.of(to).Allow()
	if err != nil {
		e := problem.Wrap(problem.Unavailable, err, "the provider's %s has failed several times; it is tried again in a moment", to.part)
		e.RetryAfter = b.pause
		return nil, e
	}
	return func(ctx context.Context, err error) {
		if err != nil && ctx.Err() != nil {
			err = context.Canceled // the caller has gone: that says nothing of the part
		}
		tell(err)
	}, nil
}

func (b *breakers) of(to back) *breaker {
	b.mu.Lock()
	defer b.mu.Unlock()
	one := b.known[to]
	if one == nil {
		one = &breaker{TwoStepCircuitBreaker: gobreaker.NewTwoStepCircuitBreaker[struct{}](b.settings(to))}
		if b.known == nil {
			b.known = map[back]*breaker{}
		}
		b.known[to] = one
	}
	one.used = time.Now()
	return one
}

func (b *breakers) settings(to back) gobreaker.Settings {
	return gobreaker.Settings{
		MaxRequests:  1,
		Timeout:      b.pause,
		ReadyToTrip:  func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= breakAfter },
		IsSuccessful: func(err error) bool { return err == nil },
		IsExcluded:   func(err error) bool { return err == context.Canceled || err == errNotAsked }, //nolint:errorlint // set so above, never wrapped
		OnStateChange: func(_ string, from, now gobreaker.State) {
			log := b.log.With().Str("participant_context", to.pc).Str("part", string(to.part)).Str("bucket", to.bucket).Logger()
			switch {
			case now == gobreaker.StateOpen && from == gobreaker.StateClosed:
				b.metrics.Broken(to.pc, string(to.part))
				log.Error().Int("failures", breakAfter).Dur("pause", b.pause).Msg("a part of the provider's has failed again and again: it is spared, and tried every few seconds")
			case now == gobreaker.StateClosed:
				log.Info().Msg("a part of the provider's that had failed answers again")
			}
		},
	}
}

// forget drops the breakers of tenants that are gone, and closed ones that nobody used for long.
func (b *breakers) forget(gone func(pc string) bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for to, one := range b.known {
		if gone(to.pc) || (time.Since(one.used) > breakerIdle && one.State() == gobreaker.StateClosed) {
			delete(b.known, to)
		}
	}
}
