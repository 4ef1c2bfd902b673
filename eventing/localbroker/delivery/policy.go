package delivery

import (
	"net/http"
	"strconv"
	"time"

	"github.com/tidegate/tidegate/eventing/localbroker/manifest"
	"github.com/tidegate/tidegate/eventing/localbroker/store"
)

const (
	deadLetterDelay    = 500 * time.Millisecond // before the first repetition; doubled each time
	deadLetterDelayMax = 30 * time.Second
	longestDelay       = time.Hour // of any backoff: 2^n has no bound of its own
)

// verdict says what becomes of a delivery after an attempt.
type verdict uint8

const (
	finished verdict = iota
	again            // after a pause
	hold             // nobody listens: the lane pauses, the delivery keeps its place
	giveUp           // to the dead letter sink
)

// policy decides by facts only; it has no clock and sends nothing.
type policy struct {
	delivery        manifest.Delivery
	deadLetter      bool // of the dead letter lane: never gives up
	connectPatience time.Duration
	retryAfterMax   time.Duration
}

// decide returns what becomes of the delivery, its new state, and the pause before the next attempt.
func (p *policy) decide(state store.State, o *outcome, now time.Time) (verdict, store.State, time.Duration) {
	if o.unreachable {
		if state.Unreachable.IsZero() {
			state.Unreachable = now
		}
		if !p.deadLetter && now.Sub(state.Unreachable) >= p.connectPatience {
			return giveUp, state, 0
		}
		return hold, state, 0
	}
	state.Unreachable = time.Time{}
	if o.delivered() {
		return finished, state, 0
	}
	state.Attempts++
	if p.deadLetter {
		return again, state, min(exponential(deadLetterDelay, state.Attempts-1), deadLetterDelayMax)
	}
	if !retried(o.code) || state.Attempts > p.delivery.Retry {
		return giveUp, state, 0
	}
	return again, state, max(p.backoff(state.Attempts-1), p.retryAfter(o, now))
}

// backoff is the pause before retry n, counted from 0, as Knative computes it.
func (p *policy) backoff(n int) time.Duration {
	if p.delivery.Exponential {
		return exponential(p.delivery.Delay, n)
	}
	return min(p.delivery.Delay*time.Duration(n), longestDelay)
}

func exponential(d time.Duration, n int) time.Duration {
	for range n {
		if d >= longestDelay {
			return longestDelay
		}
		d *= 2
	}
	return min(d, longestDelay)
}

func (p *policy) retryAfter(o *outcome, now time.Time) time.Duration {
	if o.code != http.StatusTooManyRequests && o.code != http.StatusServiceUnavailable {
		return 0
	}
	return min(parseRetryAfter(o.retryAfter, now), p.retryAfterMax)
}

// parseRetryAfter reads a Retry-After header (RFC 9110, section 10.2.3); 0 if it is no such thing or in the past.
func parseRetryAfter(s string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseInt(s, 10, 32); err == nil {
		return max(time.Duration(seconds)*time.Second, 0)
	}
	if t, err := http.ParseTime(s); err == nil {
		return max(t.Sub(now), 0)
	}
	return 0
}

// retried is Knative's SelectiveRetry.
func retried(code int) bool {
	switch code {
	case http.StatusNotFound, http.StatusRequestTimeout, http.StatusConflict, http.StatusTooManyRequests:
		return true
	}
	return code >= http.StatusInternalServerError
}
