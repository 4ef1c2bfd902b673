package did

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/tidegate/tidegate/shared/egress"
	"github.com/tidegate/tidegate/shared/problem"
)

const (
	fetchTimeout = 5 * time.Second
	maxCached    = 10_000 // DIDs

	defaultTTL   = 5 * time.Minute
	staleFor     = 15 * time.Minute // a document is used this long while its host fails, after its TTL
	defaultAgain = 10 * time.Second // least time between two fetches of a document, failed ones too
)

// Options are the settings of a Resolver.
type Options struct {
	PlainHTTP    bool          // fetch by http instead of https: for development
	AllowPrivate bool          // hosts inside the own network: for one machine, or a dataspace inside one network
	TLS          *tls.Config   // nil = the system's certificates
	TTL          time.Duration // how long a document is used; default 5 minutes
	Again        time.Duration // least time between two fetches of a document; default 10 seconds
}

// Resolver finds the keys of DIDs. Documents are kept for a short time; a key that a document lacks, or whose signature does
// not hold, makes it be fetched again, since keys rotate, but never more often than Options.Again. Safe for concurrent use.
type Resolver struct {
	o  Options
	hc *http.Client

	mu   sync.Mutex
	docs map[string]*entry
}

// entry is what is known of one DID.
type entry struct {
	doc     *Document // nil = never had
	readAt  time.Time // of doc
	triedAt time.Time
	failed  error // of the last try
	flight  chan struct{}
}

// NewResolver returns a resolver; it fetches nothing yet.
func NewResolver(o Options) *Resolver {
	if o.TTL <= 0 {
		o.TTL = defaultTTL
	}
	if o.Again <= 0 {
		o.Again = defaultAgain
	}
	return &Resolver{
		o: o, docs: map[string]*entry{},
		hc: egress.NewClient(egress.Options{AllowPrivate: o.AllowPrivate, TLS: o.TLS, Timeout: fetchTimeout}),
	}
}

// Close lets go of idle connections.
func (r *Resolver) Close() { r.hc.CloseIdleConnections() }

// Resolve returns the document of a DID. Its error is of kind Invalid if it is no DID that can be resolved, Upstream if its host
// answers something else than its document, Unavailable or Timeout if it can't be had now.
func (r *Resolver) Resolve(ctx context.Context, id string) (*Document, error) {
	return r.resolve(ctx, id, false)
}

// resolve returns the document; fresh asks for one that is younger than the one that is kept.
func (r *Resolver) resolve(ctx context.Context, id string, fresh bool) (*Document, error) {
	target, err := WebURL(id, r.o.PlainHTTP)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	e := r.docs[id]
	if e == nil {
		e = &entry{}
		r.makeRoom()
		r.docs[id] = e
	}
	now := time.Now()
	if !fresh && e.doc != nil && now.Sub(e.readAt) < r.o.TTL {
		defer r.mu.Unlock()
		return e.doc, nil
	}
	done := e.flight
	if done == nil {
		if now.Sub(e.triedAt) < r.o.Again {
			defer r.mu.Unlock()
			return e.latest(r.o.TTL)
		}
		done = make(chan struct{})
		e.flight, e.triedAt = done, now
		go r.fly(context.WithoutCancel(ctx), id, target, e, done) // shared: one caller that goes must not end it
	}
	r.mu.Unlock()
	select {
	case <-done:
		r.mu.Lock()
		defer r.mu.Unlock()
		return e.latest(r.o.TTL)
	case <-ctx.Done():
		return nil, problem.Wrap(problem.Timeout, ctx.Err(), "the DID document did not come in time")
	}
}

// latest is what can be said of the DID without fetching. A host that is away does not take the keys away at once; one that
// answers that there is no such document does.
func (e *entry) latest(ttl time.Duration) (*Document, error) {
	if e.doc != nil && (e.failed == nil || (problem.KindOf(e.failed) == problem.Unavailable && time.Since(e.readAt) < ttl+staleFor)) {
		return e.doc, nil
	}
	if e.failed == nil {
		return nil, problem.New(problem.Unavailable, "the DID document is not there yet")
	}
	return nil, e.failed
}

func (r *Resolver) fly(ctx context.Context, id, target string, e *entry, done chan struct{}) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	doc, err := r.fetch(ctx, id, target)
	r.mu.Lock()
	defer r.mu.Unlock()
	defer close(done)
	e.flight = nil
	if e.failed = err; err == nil {
		e.doc, e.readAt = doc, time.Now()
	}
}

func (r *Resolver) fetch(ctx context.Context, id, target string) (*Document, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return nil, problem.Wrap(problem.Invalid, err, "it is no did:web")
	}
	req.Header.Set("Accept", "application/did+json, application/did+ld+json, application/json")
	res, err := r.hc.Do(req)
	switch {
	case errors.Is(err, egress.ErrNotPublic), errors.Is(err, egress.ErrRedirect):
		return nil, problem.Wrap(problem.Upstream, err, "the DID document is not where it may be")
	case err != nil:
		return nil, problem.Wrap(problem.Unavailable, err, "the DID document can't be fetched")
	}
	defer func() { _ = res.Body.Close() }() // read to its end or given up
	switch {
	case res.StatusCode == http.StatusTooManyRequests || res.StatusCode >= 500:
		return nil, problem.New(problem.Unavailable, "the host of the DID document answered %d", res.StatusCode)
	case res.StatusCode != http.StatusOK:
		return nil, problem.New(problem.Upstream, "the host of the DID document answered %d", res.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxDocument+1))
	if err != nil {
		return nil, problem.Wrap(problem.Unavailable, err, "the DID document broke off")
	}
	return Decode(id, body)
}

// makeRoom drops what is oldest of a few, so that the cache is bounded and no call walks all of it.
func (r *Resolver) makeRoom() {
	if len(r.docs) < maxCached {
		return
	}
	looked, oldest, at := 0, "", time.Time{}
	for id, e := range r.docs {
		if e.flight == nil && (oldest == "" || e.triedAt.Before(at)) {
			oldest, at = id, e.triedAt
		}
		if looked++; looked >= 16 {
			break
		}
	}
	delete(r.docs, oldest)
}
