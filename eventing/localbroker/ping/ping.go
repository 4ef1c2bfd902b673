// Package ping sends the ticks of PingSources to their Brokers, as Knative's PingSource adapter does.
//
// A tick is left out while the earlier one of the same source still waits for a subscriber: a function that is slow or away
// does not find a heap of ticks that all say the same. (Knative piles them up.) The memory of what waits is the process's:
// after a restart of the broker at most one more tick per source can wait.
package ping

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/google/uuid"
	"github.com/robfig/cron/v3"
	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/eventing/localbroker/delivery"
	"github.com/tidegate/tidegate/eventing/localbroker/manifest"
	"github.com/tidegate/tidegate/shared/problem"
)

// EventType is the type of every tick.
const EventType = "dev.knative.sources.ping"

const ttl = 255 // as an event that comes in by HTTP gets

// Acceptor takes ticks; *delivery.Dispatcher is one.
type Acceptor interface {
	Accept(b manifest.Name, in *delivery.Incoming) (uint64, error)
	Outstanding(seq uint64) bool
}

// Runner sends the ticks.
type Runner struct {
	cron    *cron.Cron
	sources []*source
}

type source struct {
	spec     manifest.Ping
	acceptor Acceptor
	log      zerolog.Logger

	mu      sync.Mutex // one tick at a time
	last    uint64     // number of the last tick
	skipped atomic.Int64
}

// New makes a runner; nothing ticks before Run.
func New(pings []manifest.Ping, a Acceptor, log zerolog.Logger) (*Runner, error) {
	r := &Runner{cron: cron.New(cron.WithParser(manifest.Cron()))}
	for _, p := range pings {
		s := &source{spec: p, acceptor: a, log: log.With().Str("ping_source", p.String()).Logger()}
		if _, err := r.cron.AddFunc(p.Schedule, s.tick); err != nil {
			return nil, problem.New(problem.Invalid, "%s:%d: PingSource %s: %w", p.File, p.Line, p.Name, err)
		}
		r.sources = append(r.sources, s)
	}
	return r, nil
}

// Run sends ticks until ctx ends, and returns when the last one is stored.
func (r *Runner) Run(ctx context.Context) {
	r.cron.Start()
	<-ctx.Done()
	<-r.cron.Stop().Done()
}

// Skipped returns how many ticks were left out.
func (r *Runner) Skipped() int64 {
	var n int64
	for _, s := range r.sources {
		n += s.skipped.Load()
	}
	return n
}

func (s *source) tick() {
	if !s.mu.TryLock() { // the disk is slower than the schedule
		s.skipped.Add(1)
		return
	}
	defer s.mu.Unlock()
	if s.acceptor.Outstanding(s.last) {
		s.skipped.Add(1)
		s.log.Debug().Msg("tick left out: the earlier one still waits")
		return
	}
	e, err := s.event()
	if err != nil {
		s.log.Error().Err(err).Msg("the tick can't be made")
		return
	}
	seq, err := s.acceptor.Accept(s.spec.Broker, &delivery.Incoming{Event: e, TTL: ttl})
	if err != nil {
		s.log.Error().Err(err).Msg("the tick can't be stored")
		return
	}
	s.last = seq
}

// event is one tick, as Knative makes it.
func (s *source) event() (*event.Event, error) {
	e := event.New()
	e.SetID(uuid.NewString())
	e.SetType(EventType)
	e.SetSource(fmt.Sprintf("/apis/v1/namespaces/%s/pingsources/%s", s.spec.Namespace, s.spec.Name.Name))
	for name, value := range s.spec.Extensions {
		e.SetExtension(name, value)
	}
	if len(s.spec.Data) > 0 {
		if err := e.SetData(s.spec.ContentType, s.spec.Data); err != nil {
			return nil, problem.New(problem.Invalid, "data: %w", err)
		}
	}
	if err := e.Validate(); err != nil {
		return nil, problem.New(problem.Invalid, "%w", err)
	}
	return &e, nil
}
