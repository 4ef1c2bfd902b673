package metrics

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/dps-gateway/internal/keys"
)

// backlogTimeout bounds what a scrape asks of Redis.
const backlogTimeout = 2 * time.Second

// Backlog reads at each scrape what waits in Redis: the outbox's depth and age over all shards, parked work by tenant. tenants
// gives the ids of the tenants in force. Every replica tells the same, so dashboards take the maximum.
func (m *Metrics) Backlog(rdb redis.UniversalClient, tenants func() []string, log zerolog.Logger) {
	m.registry.MustRegister(&backlog{
		rdb: rdb, tenants: tenants, log: log,
		depth:  prometheus.NewDesc("tidegate_outbox_depth", "Entries in the outbox, all shards.", nil, nil),
		age:    prometheus.NewDesc("tidegate_outbox_oldest_seconds", "Age of the oldest entry in the outbox.", nil, nil),
		parked: prometheus.NewDesc("tidegate_parked", "Work that was given up and waits for an operator.", []string{pcLabel}, nil),
	})
}

type backlog struct {
	rdb                redis.UniversalClient
	tenants            func() []string
	log                zerolog.Logger
	depth, age, parked *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (b *backlog) Describe(ch chan<- *prometheus.Desc) {
	ch <- b.depth
	ch <- b.age
	ch <- b.parked
}

// Collect implements prometheus.Collector. If Redis can't be read there are no such series, which is what an alert sees.
func (b *backlog) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), backlogTimeout)
	defer cancel()
	pcs := append(b.tenants(), keys.NoTenant)
	var (
		lens   [keys.Shards]*redis.IntCmd
		firsts [keys.Shards]*redis.XMessageSliceCmd
		parked = make([]*redis.IntCmd, len(pcs))
	)
	pipe := b.rdb.Pipeline()
	for i := range keys.Shards {
		lens[i] = pipe.XLen(ctx, keys.Outbox(i))
		firsts[i] = pipe.XRangeN(ctx, keys.Outbox(i), "-", "+", 1)
	}
	for i, pc := range pcs {
		parked[i] = pipe.ZCard(ctx, keys.ParkedIndex(pc))
	}
	if _, err := pipe.Exec(ctx); err != nil {
		b.log.Warn().Err(err).Msg("the backlog can't be read for a scrape")
		return
	}
	var depth int64
	oldest := time.Now()
	for i := range keys.Shards {
		depth += lens[i].Val()
		for _, msg := range firsts[i].Val() {
			ms, _, _ := strings.Cut(msg.ID, "-")
			if n, err := strconv.ParseInt(ms, 10, 64); err == nil && time.UnixMilli(n).Before(oldest) {
				oldest = time.UnixMilli(n)
			}
		}
	}
	ch <- prometheus.MustNewConstMetric(b.depth, prometheus.GaugeValue, float64(depth))
	ch <- prometheus.MustNewConstMetric(b.age, prometheus.GaugeValue, time.Since(oldest).Seconds())
	for i, pc := range pcs {
		ch <- prometheus.MustNewConstMetric(b.parked, prometheus.GaugeValue, float64(parked[i].Val()), pc)
	}
}
