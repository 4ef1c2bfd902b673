package outbox

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/dps-gateway/internal/keys"
)

// Parker takes entries that were given up. It removes the entry from the stream and keeps it, in one step.
type Parker interface {
	Park(ctx context.Context, e *Entry, reason string) error
}

// Sender sends an entry of one lane. An error of kind Invalid, Unprocessable or TooLarge means that it never can be sent;
// any other is tried again, not before its RetryAfter.
type Sender interface {
	Send(ctx context.Context, e *Entry) error
}

// Observer is told what the relay does, for metrics. Its methods must not block.
type Observer interface {
	// Sent is told of every attempt: how long it took, how old the entry is, and how it failed, if it did.
	Sent(pc string, lane Lane, took, age time.Duration, err error)
	// GaveUp is told of every entry that was parked.
	GaveUp(pc string, lane Lane)
	// Pending is told how many entries the relay has read and not got rid of.
	Pending(n int)
}

// Config sets a relay. The zero value of a member is its default.
type Config struct {
	Senders   map[Lane]Sender
	Parker    Parker
	Observer  Observer         // may be nil
	InFlight  map[Lane]int     // sends at once; default 256 events, 64 callbacks, 64 hooks and overdue flows, 16 terminations
	PollEvery time.Duration    // for what other replicas append; default 250ms
	Gather    time.Duration    // under load, what comes in this time is read, and acknowledged, together; default 10ms; negative = none
	MaxAge    time.Duration    // after which an entry that fails is parked; default 15min
	MinTries  int              // before which it is not, however old; default 5
	Backoff   time.Duration    // after the first failure, then twice as long each; default 200ms
	MaxPause  time.Duration    // longest pause between tries; default 30s
	Drain     time.Duration    // how long Run waits for sends under way when it ends; default 3s
	Now       func() time.Time // to compare with the stream's ids
}

const (
	readCount    = 256  // entries of a shard read at once
	maxPending   = 4096 // entries of a shard in memory
	ackBatch     = 256
	parkDeadline = 5 * time.Second
)

// Relay drains the outbox. Several replicas may run one each: a shard is drained by the one that holds its lease, and
// each aims at an equal share of the shards.
type Relay struct {
	rdb  redis.UniversalClient
	bell *Bell
	cfg  Config
	log  zerolog.Logger
	name string

	slots map[Lane]chan struct{}
	acks  chan ack
	sends sync.WaitGroup

	handed chan int      // shards that are quiet and to be given back
	ended  chan struct{} // leases are not kept any more

	mu     sync.Mutex
	shards [keys.Shards]*shard // nil = not held

	share int // how many shards this relay aims at; of the goroutine that keeps the leases
}

// NewRelay returns a relay; Run starts it.
func NewRelay(rdb redis.UniversalClient, bell *Bell, cfg Config, log zerolog.Logger) *Relay {
	cfg = cfg.withDefaults()
	r := &Relay{
		rdb: rdb, bell: bell, cfg: cfg, log: log, name: uuid.NewString(), slots: map[Lane]chan struct{}{}, acks: make(chan ack, ackBatch),
		handed: make(chan int), ended: make(chan struct{}), share: keys.Shards,
	}
	for lane, n := range cfg.InFlight {
		r.slots[lane] = make(chan struct{}, n)
	}
	return r
}

func (c Config) withDefaults() Config {
	inFlight := map[Lane]int{LaneEvent: 256, LaneCallback: 64, LaneTerminate: 16, LaneHook: 64, LaneOverdue: 64}
	maps.Copy(inFlight, c.InFlight)
	c.InFlight = inFlight
	if c.Observer == nil {
		c.Observer = silent{}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.MinTries == 0 {
		c.MinTries = 5
	}
	for d, def := range map[*time.Duration]time.Duration{
		&c.PollEvery: 250 * time.Millisecond, &c.Gather: 10 * time.Millisecond, &c.MaxAge: 15 * time.Minute, &c.Backoff: 200 * time.Millisecond,
		&c.MaxPause: 30 * time.Second, &c.Drain: 3 * time.Second,
	} {
		if *d == 0 {
			*d = def
		}
	}
	return c
}

type silent struct{}

func (silent) Sent(string, Lane, time.Duration, time.Duration, error) {}
func (silent) GaveUp(string, Lane)                                    {}
func (silent) Pending(int)                                            {}

// Run drains until ctx ends; then it lets the sends under way finish for a while and gives the leases back. What it could not
// finish stays in the outbox.
func (r *Relay) Run(ctx context.Context) {
	// Sends and acknowledgements outlive ctx by the drain time.
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	ackCtx, stopAcks := context.WithCancel(context.WithoutCancel(ctx))
	defer stopAcks()
	acked := make(chan struct{})
	go func() {
		defer close(acked)
		r.acknowledge(ackCtx)
	}()
	leased := make(chan struct{})
	go func() {
		defer close(leased)
		r.keepLeases(ctx, work)
	}()

	swept := make(chan struct{})
	go func() {
		defer close(swept)
		r.sweepDue(ctx)
	}()

	r.read(ctx)

	<-swept
	<-leased
	r.stopReading()
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		r.sends.Wait()
	}()
	select {
	case <-drained:
	case <-time.After(r.cfg.Drain):
	}
	stop()
	<-drained
	stopAcks()
	<-acked
	r.leave(context.WithoutCancel(ctx))
}

// keepLeases takes and renews leases. work is the context of sends.
func (r *Relay) keepLeases(ctx, work context.Context) {
	defer close(r.ended)
	tick := time.NewTicker(leaseEvery)
	defer tick.Stop()
	for {
		held, until, err := r.leases(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			r.log.Warn().Err(err).Msg("outbox: leases can't be renewed")
		}
		r.apply(work, held, until, err != nil)
		if err == nil {
			r.shed()
		}
		if !r.untilNext(ctx, tick.C) {
			return
		}
	}
}

// untilNext gives back what becomes quiet until the next renewal is due; false if ctx ends.
func (r *Relay) untilNext(ctx context.Context, next <-chan time.Time) bool {
	for {
		select {
		case <-ctx.Done():
			return false
		case <-next:
			return true
		case number := <-r.handed:
			r.release(ctx, r.handOver(number))
		}
	}
}

// apply takes up the shards that were gained and drops those that were lost. If Redis failed, a shard is kept until its lease
// has run out.
func (r *Relay) apply(work context.Context, held [keys.Shards]bool, until time.Time, failed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, s := range r.shards {
		switch {
		case held[i] && s != nil && s.renew(until):
		case held[i]:
			if s != nil {
				s.drop() // Redis came back too late: what the shard's walks left undone is begun again, from the stream
			}
			r.shards[i] = newShard(work, i, until)
			r.bell.ring(i)
		case s != nil && (!failed || !s.mine()):
			s.drop()
			r.shards[i] = nil
		}
	}
}

func (r *Relay) stopReading() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.shards {
		if s != nil {
			s.close()
		}
	}
}
