package gateway

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/dps-gateway/internal/redisconn"
	"github.com/tidegate/tidegate/shared/problem"
)

// guardEvery is the time between two tries to ask a Redis that did not answer for its settings.
const guardEvery = time.Second

// guard sees to it that nothing is served from a Redis that would lose it silently.
type guard struct {
	rdb     redis.UniversalClient
	cfg     redisconn.Config
	log     zerolog.Logger
	checked atomic.Bool
}

// check asks Redis once. The error is of kind Invalid if the gateway must not run on this Redis; a Redis that can't be reached is
// none, and leaves checked false.
func (g *guard) check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*g.cfg.Timeout)
	defer cancel()
	report, err := redisconn.Check(ctx, g.rdb, g.cfg)
	switch {
	case err == nil:
	case problem.Is(err, problem.Unavailable):
		g.log.Warn().Err(err).Msg("Redis is not checked yet")
		return nil
	default:
		return err
	}
	for _, w := range report.Warnings {
		g.log.Warn().Msg(w)
	}
	g.log.Info().Str("durability", report.Durability).Msg("Redis is checked")
	g.checked.Store(true)
	return nil
}

// watch asks again until Redis has answered or ctx ends.
func (g *guard) watch(ctx context.Context) error {
	for !g.checked.Load() {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(guardEvery):
		}
		if err := g.check(ctx); err != nil {
			return err
		}
	}
	return nil
}
