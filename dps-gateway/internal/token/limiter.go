package token

import (
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/tidegate/tidegate/dps-gateway/internal/cache"
)

// How often a flow's token may be asked for: a client that renews in time asks once in minutes.
const (
	refreshEvery = 500 * time.Millisecond
	refreshBurst = 10
	limited      = 8 << 10 // flows that are counted
)

// limiter bounds the requests per flow. Its zero value is ready.
type limiter struct {
	once  sync.Once
	flows *cache.Cache[[2]string, *rate.Limiter]
}

func (l *limiter) allow(pc, flow string) bool {
	l.once.Do(func() { l.flows = cache.New[[2]string, *rate.Limiter](limited) })
	key := [2]string{pc, flow}
	r, ok := l.flows.Get(key)
	if !ok {
		r = rate.NewLimiter(rate.Every(refreshEvery), refreshBurst)
		l.flows.Put(key, r, time.Now().Add(time.Hour))
	}
	return r.Allow()
}
