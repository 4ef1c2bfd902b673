package data

import (
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/tenant"
)

// admission bounds what each tenant's counterparties use of this gateway: streams at once and requests per second by refusing,
// bytes per second by waiting. Pulls and pushes have one each, so that neither holds up the other.
type admission struct {
	defaults tenant.Limits

	mu      sync.Mutex
	tenants map[string]*lane
}

// lane is one tenant's share.
type lane struct {
	mu       sync.Mutex
	limits   tenant.Limits
	streams  int
	requests *rate.Limiter // nil = unlimited
	bytes    *rate.Limiter // nil = unlimited
}

func newAdmission(defaults tenant.Limits) *admission {
	return &admission{defaults: defaults, tenants: map[string]*lane{}}
}

// enter admits a request of a tenant or refuses it with TooMany. release must be called when its answer is done.
func (a *admission) enter(t *tenant.Tenant) (l *lane, err error) {
	limits := t.Limits
	if limits.ConcurrentStreams == 0 {
		limits.ConcurrentStreams = a.defaults.ConcurrentStreams
	}
	if limits.RequestsPerSecond == 0 {
		limits.RequestsPerSecond = a.defaults.RequestsPerSecond
	}
	if limits.BytesPerSecond == 0 {
		limits.BytesPerSecond = a.defaults.BytesPerSecond
	}
	a.mu.Lock()
	l = a.tenants[t.ParticipantContextID]
	if l == nil {
		l = &lane{}
		a.tenants[t.ParticipantContextID] = l
	}
	a.mu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.limits != limits {
		l.limits = limits
		l.requests = limiter(int64(limits.RequestsPerSecond), limits.RequestsPerSecond)
		l.bytes = limiter(limits.BytesPerSecond, int(max(limits.BytesPerSecond, chunk)))
	}
	if limits.ConcurrentStreams > 0 && l.streams >= limits.ConcurrentStreams {
		return nil, tooMany("%d transfers of this participant are under way at once already", limits.ConcurrentStreams)
	}
	if l.requests != nil && !l.requests.Allow() {
		return nil, tooMany("%d requests per second are taken for this participant", limits.RequestsPerSecond)
	}
	l.streams++
	return l, nil
}

func (l *lane) release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.streams--
}

// pace waits until n bytes may go out; n is at most chunk.
func (l *lane) pace(ctx context.Context, n int) error {
	l.mu.Lock()
	b := l.bytes
	l.mu.Unlock()
	if b == nil {
		return nil
	}
	return b.WaitN(ctx, n)
}

// forget drops the lanes of tenants that are gone and have no stream.
func (a *admission) forget(gone func(pc string) bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for pc, l := range a.tenants {
		l.mu.Lock()
		if l.streams == 0 && gone(pc) {
			delete(a.tenants, pc)
		}
		l.mu.Unlock()
	}
}

func limiter(perSecond int64, burst int) *rate.Limiter {
	if perSecond <= 0 {
		return nil
	}
	return rate.NewLimiter(rate.Limit(perSecond), burst)
}

func tooMany(format string, args ...any) error {
	e := problem.New(problem.TooMany, format, args...)
	e.RetryAfter = time.Second
	return e
}
