package delivery

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/eventing/localbroker/filter"
	"github.com/tidegate/tidegate/eventing/localbroker/manifest"
	"github.com/tidegate/tidegate/eventing/localbroker/store"
	"github.com/tidegate/tidegate/shared/problem"
)

// errStopping is the cause of a request's end when the broker goes down.
var errStopping = errors.New("the broker is stopping")

// Secret gives the bearer token that subscribers want.
type Secret interface{ Value() string }

// Dispatcher takes events in and to their subscribers.
type Dispatcher struct {
	store    *store.Store
	client   *http.Client
	secret   Secret
	options  Options
	log      zerolog.Logger
	triggers map[string]*trigger
	brokers  map[string][]*trigger // by namespace/name

	accepted, unmatched, replies atomic.Int64
}

// trigger is a Trigger at work.
type trigger struct {
	name   string
	filter filter.Filter
	main   *lane
	dead   *lane // nil = no dead letter sink
}

// New makes a dispatcher for the manifests. subscribers tells where Services are; a Trigger with another one is an error.
func New(set *manifest.Set, subscribers map[string]string, st *store.Store, secret Secret, o Options, log zerolog.Logger) (*Dispatcher, error) {
	o = o.withDefaults()
	d := &Dispatcher{
		store: st, secret: secret, options: o, log: log,
		triggers: map[string]*trigger{}, brokers: map[string][]*trigger{},
		client: &http.Client{
			Transport: &http.Transport{
				DialContext:         (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
				MaxIdleConnsPerHost: 4 * o.Concurrency,
				IdleConnTimeout:     30 * time.Second,
				DisableCompression:  true,
			},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	for _, b := range set.Brokers {
		d.brokers[b.String()] = nil
	}
	for i := range set.Triggers {
		t, err := d.newTrigger(&set.Triggers[i], subscribers)
		if err != nil {
			return nil, err
		}
		broker := set.Triggers[i].Broker.String()
		d.triggers[t.name] = t
		d.brokers[broker] = append(d.brokers[broker], t)
	}
	return d, d.load()
}

func (d *Dispatcher) newTrigger(m *manifest.Trigger, subscribers map[string]string) (*trigger, error) {
	f, err := filter.ForTrigger(m)
	if err != nil {
		return nil, err
	}
	t := &trigger{name: m.String(), filter: f}
	to, err := resolve(m, "subscriber", m.Subscriber, subscribers)
	if err != nil {
		return nil, err
	}
	t.main = d.newLane(m, to, false)
	if dl := m.Delivery.DeadLetter; dl != nil {
		if to, err = resolve(m, "dead letter sink", *dl, subscribers); err != nil {
			return nil, err
		}
		t.dead = d.newLane(m, to, true)
	}
	return t, nil
}

func (d *Dispatcher) newLane(m *manifest.Trigger, to target, deadLetter bool) *lane {
	l := &lane{
		trigger: m.String(), deadLetter: deadLetter, broker: m.Broker.String(), target: to,
		timeout: m.Delivery.Timeout, limit: d.options.Concurrency, wake: make(chan struct{}, 1),
		policy: policy{
			delivery: m.Delivery, deadLetter: deadLetter,
			connectPatience: d.options.ConnectPatience, retryAfterMax: d.options.RetryAfterMax,
		},
	}
	if l.timeout == 0 {
		l.timeout = d.options.Timeout
	}
	return l
}

// load queues what an earlier process has left.
func (d *Dispatcher) load() error {
	var gone []store.Key
	err := d.store.Deliveries(func(x store.Delivery) {
		l := d.lane(x.Key)
		if l == nil {
			gone = append(gone, x.Key)
			return
		}
		l.push(item{seq: x.Seq, state: x.State})
	})
	if err != nil {
		return problem.New(problem.Internal, "reading the store: %w", err)
	}
	if len(gone) > 0 {
		d.log.Warn().Int("deliveries", len(gone)).Str("trigger", gone[0].Trigger).Msg("dropped: their Trigger, or its dead letter sink, is defined no more")
		d.store.Defer(&store.Change{Remove: gone})
	}
	return nil
}

func (d *Dispatcher) lane(k store.Key) *lane {
	t := d.triggers[k.Trigger]
	switch {
	case t == nil:
		return nil
	case k.DeadLetter:
		return t.dead
	}
	return t.main
}

// Run delivers until ctx ends; deliveries under way then have grace to end, and are broken off after it. What was broken off
// is delivered again after the next start.
func (d *Dispatcher) Run(ctx context.Context, grace time.Duration) {
	work, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stop(errStopping)
	var lanes, running sync.WaitGroup
	for _, t := range d.triggers {
		for _, l := range []*lane{t.main, t.dead} {
			if l == nil {
				continue
			}
			lanes.Go(func() {
				l.run(ctx, func(it item) {
					running.Go(func() { d.deliver(work, l, it) })
				})
			})
		}
	}
	lanes.Wait()
	timer := time.AfterFunc(grace, func() { stop(errStopping) })
	defer timer.Stop()
	running.Wait()
	d.client.CloseIdleConnections()
}
