package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"golang.org/x/time/rate"

	"github.com/tidegate/tidegate/shared/problem"
)

const (
	jwksTimeout  = 10 * time.Second
	maxJWKS      = 1 << 20          // bytes
	freshKeys    = 15 * time.Minute // a key that was withdrawn is trusted this long at most while the endpoint answers
	staleKeys    = 12 * time.Hour   // and this long if it does not
	minRSA       = 2048             // bits
	refetchEvery = 5 * time.Second  // one read of the keys in this time,
	refetchBurst = 5                // after a burst of this many: enough for start-up and for rotation
)

// keySet is a JWKS read from a URL. It is read anew when it is old, or when a token names a key that it lacks; a limit on
// how often keeps garbage tokens from turning into load on the endpoint.
type keySet struct {
	url   string
	hc    *http.Client
	limit *rate.Limiter
	fixed bool // the keys were given, there is no URL

	headers headers // of its issuer's tokens

	mu     sync.Mutex
	keys   []verificationKey
	readAt time.Time // of keys; zero = never
	failed error     // of the last read
	flight chan struct{}
}

func newKeySet(url string, hc *http.Client) *keySet {
	if hc == nil {
		hc = &http.Client{}
	}
	return &keySet{url: url, hc: hc, limit: rate.NewLimiter(rate.Every(refetchEvery), refetchBurst)}
}

// verify returns nil if a key of the set made the signature.
func (s *keySet) verify(ctx context.Context, t *jws) error {
	h, err := s.headers.read(t, algorithms)
	if err == nil {
		err = s.verifyBy(ctx, h, t)
	}
	if err == nil {
		s.headers.verified(t, h)
	}
	return err
}

func (s *keySet) verifyBy(ctx context.Context, h header, t *jws) error {
	if s.fixed {
		if good, _ := tryKeys(h, t, s.keys); good {
			return nil
		}
		return refused("its signature is of no key that was given")
	}
	keys, age := s.cached()
	if age < freshKeys {
		if good, _ := tryKeys(h, t, keys); good {
			return nil
		}
	}
	// The key may be a new one, under a new id or, with careless issuers, under the old one.
	readErr := s.refetch(ctx)
	keys, age = s.cached()
	if age < staleKeys {
		if good, known := tryKeys(h, t, keys); good {
			return nil
		} else if known {
			return refused("its signature does not hold")
		}
	}
	if readErr != nil {
		return readErr
	}
	return refused("its signature is of no key of the issuer")
}

// tryKeys tries the key that the token names, or every key if it names none. known tells that the named key is there.
func tryKeys(h header, t *jws, keys []verificationKey) (good, known bool) {
	for i := range keys {
		k := &keys[i]
		if (h.keyID != "" && k.id != h.keyID) || (k.algorithm != "" && k.algorithm != h.algorithm) {
			continue
		}
		if k.verify(h.algorithm, t.signed, t.signature) {
			return true, true
		}
		known = known || h.keyID != ""
	}
	return false, known
}

func (s *keySet) cached() ([]verificationKey, time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.readAt.IsZero() {
		return nil, staleKeys
	}
	return s.keys, time.Since(s.readAt)
}

// refetch reads the keys, or waits for a read under way. If the limit forbids a read, the last one's error stands.
func (s *keySet) refetch(ctx context.Context) error {
	s.mu.Lock()
	done := s.flight
	if done == nil {
		if !s.limit.Allow() {
			defer s.mu.Unlock()
			return s.failed
		}
		done = make(chan struct{})
		s.flight = done
		go s.run(context.WithoutCancel(ctx), done)
	}
	s.mu.Unlock()
	select {
	case <-done:
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.failed
	case <-ctx.Done():
		return waitError(ctx, "the keys of the issuer")
	}
}

func (s *keySet) run(ctx context.Context, done chan struct{}) {
	ctx, cancel := context.WithTimeout(ctx, jwksTimeout)
	defer cancel()
	keys, err := s.read(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	defer close(done)
	s.flight = nil
	if err != nil {
		s.failed = problem.Wrap(problem.Unavailable, err, "the keys of the issuer cannot be read")
		return
	}
	s.keys, s.readAt, s.failed = keys, time.Now(), nil
}

func (s *keySet) read(ctx context.Context) ([]verificationKey, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/jwk-set+json, application/json")
	resp, err := s.hc.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }() // read to its end or given up
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answered %d", s.url, resp.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxJWKS+1))
	if err != nil {
		return nil, err
	}
	if len(body) > maxJWKS {
		return nil, errors.New("the JWKS is over 1 MiB")
	}
	keys, err := parseJWKS(body)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.url, err)
	}
	return keys, nil
}

// parseJWKS returns the public signature keys of a set. Keys that we don't know how to use are left out, not an error
// (RFC 7517, section 5); a set without a usable one is an error.
func parseJWKS(body []byte) ([]verificationKey, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(body, &set); err != nil {
		return nil, errors.New("is no JWK set")
	}
	var keys []verificationKey
	for _, raw := range set.Keys {
		var k jose.JSONWebKey
		if json.Unmarshal(raw, &k) != nil || !k.Valid() || (k.Use != "" && k.Use != "sig") {
			continue
		}
		if key, usable := newVerificationKey(&k); usable {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("holds no public signature key that is usable")
	}
	return keys, nil
}
