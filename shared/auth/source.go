package auth

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/tidegate/tidegate/shared/problem"
)

const (
	fetchTimeout = 15 * time.Second // bounds one request for a token, whoever waits for it
	maxEarly     = time.Minute      // a token is renewed this long before it expires, or at 90 % of its life if that is later
)

// source caches the token of a fetch function and runs at most one fetch at a time.
type source struct {
	fetch func(context.Context) (token string, expiry time.Time, err error)

	mu      sync.Mutex
	token   string
	expiry  time.Time
	renewAt time.Time
	flight  *flight
}

// flight is a fetch under way; its results may be read once done is closed.
type flight struct {
	done  chan struct{}
	token string
	err   error
}

func newSource(fetch func(context.Context) (string, time.Time, error)) *source {
	return &source{fetch: fetch}
}

// Token implements TokenSource. The fetch does not end with the context of the caller that began it, since others wait for
// it too; each caller's wait ends with its own context.
func (s *source) Token(ctx context.Context) (string, error) {
	s.mu.Lock()
	if s.token != "" && time.Now().Before(s.renewAt) {
		defer s.mu.Unlock()
		return s.token, nil
	}
	f := s.flight
	if f == nil {
		f = &flight{done: make(chan struct{})}
		s.flight = f
		go s.run(context.WithoutCancel(ctx), f)
	}
	s.mu.Unlock()

	select {
	case <-f.done:
		return f.token, f.err
	case <-ctx.Done():
		return "", waitError(ctx, "a token")
	}
}

func (s *source) run(ctx context.Context, f *flight) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	began := time.Now()
	token, expiry, err := s.fetch(ctx)

	s.mu.Lock()
	defer s.mu.Unlock()
	defer close(f.done)
	s.flight = nil
	switch {
	case err == nil:
		early := min(maxEarly, expiry.Sub(began)/10)
		s.token, s.expiry, s.renewAt = token, expiry, expiry.Add(-early)
		f.token = token
	case s.token != "" && time.Now().Before(s.expiry):
		f.token = s.token // it is due for renewal, but still good: an outage of the token endpoint is bridged
	default:
		f.err = err
	}
}

// Invalidate implements TokenSource.
func (s *source) Invalidate(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.token == token {
		s.token = ""
	}
}

// waitError tells that a caller's own context ended while it waited.
func waitError(ctx context.Context, what string) error {
	kind := problem.Unavailable
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		kind = problem.Timeout
	}
	return problem.Wrap(kind, ctx.Err(), "waiting for %s", what)
}
