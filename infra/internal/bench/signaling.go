package bench

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidegate/tidegate/shared/gatewayapi"
)

const (
	signalsPerFlow = 3 // start, status, terminate
	eventsPerFlow  = 2 // started, terminated
	drainTime      = 2 * time.Minute
	warmUpFlows    = 200
)

// The bars: flows per second on two idle cores at 1 and 64 connections.
var flowBars = map[int]float64{1: 1600, 64: 4000}

// signaling is part a: flows of eight tenants, each call with a token of its own, each flow's events delivered to the broker.
func signaling(ctx context.Context, b *bench) (*Part, error) {
	w, err := newWorld(ctx, b, "signaling")
	if err != nil {
		return nil, err
	}
	defer w.close()
	s, err := newSignaler(ctx, w)
	if err != nil {
		return nil, err
	}
	alone, err := newRedisAlone(ctx, s)
	if err != nil {
		return nil, err
	}
	defer alone.close()
	bare, err := startBare(ctx, s, alone)
	if err != nil {
		return nil, err
	}
	p := &Part{}
	p.remark("Redis: append-only file on, appendfsync everysec. Redis alone: the same script calls with the same arguments, sent as fast as they are answered.")
	p.remark("Bare server: net/http, one RS256 signature and the same script call a signal, one ES256 signature and two posts of ready-made bytes a flow, and nothing else.")
	p.remark("Round trips to Redis: start %d, status %d, terminate %d.", alone.trips[0], alone.trips[1], alone.trips[2])
	p.remark("Each call has a token of its own (RS256, 2,048 bits, where nothing else is said), verified by the identity provider's keys. CPU times include the delivery of both events to the broker.")
	for _, connections := range b.connection {
		if err := s.measure(ctx, p, connections, alone, bare, b.purses[rs256]); err != nil {
			return nil, fmt.Errorf("%d connections: %w", connections, err)
		}
	}
	for _, alg := range []algorithm{es256, eddsa} {
		if err := s.signedBy(ctx, p, b.connection[len(b.connection)-1], b.purses[alg]); err != nil {
			return nil, fmt.Errorf("%s: %w", alg, err)
		}
	}
	return p.close(), w.crashed()
}

const agreement = "agreement-of-all"

// signaler sends the signals of flows.
type signaler struct {
	*world

	datasets []*gatewayapi.Dataset
	at       []string // signaling addresses; connections are spread over them
}

func newSignaler(ctx context.Context, w *world) (*signaler, error) {
	s := &signaler{world: w, at: []string{w.signaling}}
	for i := range tenants {
		d, err := w.publish(ctx, tenantID(i), "dataset", 1024)
		if err != nil {
			return nil, err
		}
		if err := w.approve(ctx, tenantID(i), agreement, d); err != nil {
			return nil, err
		}
		s.datasets = append(s.datasets, d)
	}
	return s, nil
}

func (s *signaler) measure(ctx context.Context, p *Part, connections int, alone *redisAlone, bare *signaler, tokens *purse) error {
	at := plural(connections) + ": "
	var bar *Bar
	if limit, ok := flowBars[connections]; ok && !s.b.Short {
		bar = atLeast(limit)
	}
	flows := p.figure(at+"gateway", "flows/s", bar)
	least := p.figure(at+"bare server", "flows/s", nil)
	redis := p.figure(at+"Redis alone", "flows/s", nil)
	p50, p99 := p.figure(at+"a signal, p50", "ms", nil), p.figure(at+"a signal, p99", "ms", nil)
	start99 := p.figure(at+"a start, p99", "ms", nil)
	lag := p.figure(at+"last answer to last event", "ms", nil)
	cpuGateway := p.figure(at+"CPU of the gateway", "ms/flow", nil)
	cpuRedis := p.figure(at+"CPU of Redis", "ms/flow", nil)
	cpuAlone := p.figure(at+"CPU of Redis alone", "ms/flow", nil)
	cpuOwn := p.figure(at+"CPU of load and broker", "ms/flow", nil)
	perCore := p.figure(at+"a second of CPU, all together", "flows", nil)
	cpuBare := p.figure(at+"CPU of the bare server", "ms/flow", nil)
	barePerCore := p.figure(at+"a second of CPU, bare server, Redis, load and broker", "flows", nil)

	n, err := s.enough(ctx, connections, tokens)
	if err != nil {
		return err
	}
	for i := range s.b.Runs {
		s.b.note("a) %s, run %d of %d", plural(connections), i+1, s.b.Runs)
		profiled := func() error { return nil }
		if i == 0 {
			profiled = s.profile(ctx, fmt.Sprintf("signaling-%d", connections))
		}
		m, err := s.run(ctx, connections, n, s.b.load, tokens)
		if err := errors.Join(err, profiled()); err != nil {
			return err
		}
		flows.add(m.perSecond())
		p50.add(percentile(m.all, 50))
		p99.add(percentile(m.all, 99))
		start99.add(percentile(m.starts, 99))
		lag.add(ms(m.lag))
		cpuGateway.add(ms(m.cpuGateway) / float64(m.flows))
		cpuRedis.add(ms(m.cpuRedis) / float64(m.flows))
		cpuOwn.add(ms(m.cpuOwn) / float64(m.flows))
		perCore.add(m.perCPUSecond())
		if m, err = bare.run(ctx, connections, n, s.b.load/2, tokens); err != nil {
			return fmt.Errorf("bare server: %w", err)
		}
		least.add(m.perSecond())
		cpuBare.add(ms(m.cpuGateway) / float64(m.flows))
		barePerCore.add(m.perCPUSecond())
		r, cpu, err := alone.run(ctx, connections, s.b.load/2)
		if err != nil {
			return fmt.Errorf("redis alone: %w", err)
		}
		redis.add(r)
		cpuAlone.add(ms(cpu))
	}
	flows.beside(least, "bare server")
	flows.beside(redis, "Redis alone")
	cpuGateway.beside(cpuBare, "bare server")
	cpuRedis.beside(cpuAlone, "Redis alone")
	return nil
}

// enough is how many flows fill the time of a measurement; their tokens are signed then.
func (s *signaler) enough(ctx context.Context, connections int, tokens *purse) (int, error) {
	warm, err := s.run(ctx, connections, warmUpFlows, s.b.load, tokens)
	if err != nil {
		return 0, err
	}
	n := min(s.b.maxFlows, max(warmUpFlows, int(1.2*warm.perSecond()*s.b.load.Seconds())))
	_, err = tokens.take(ctx, s, signalsPerFlow*n)
	return n, err
}

// signedBy measures what another algorithm of the tokens changes.
func (s *signaler) signedBy(ctx context.Context, p *Part, connections int, tokens *purse) error {
	at := fmt.Sprintf("%s, %s: ", plural(connections), tokens.alg)
	flows, cpu := p.figure(at+"gateway", "flows/s", nil), p.figure(at+"CPU of the gateway", "ms/flow", nil)
	n, err := s.enough(ctx, connections, tokens)
	if err != nil {
		return err
	}
	for i := range s.b.Runs {
		s.b.note("a) %s, %s, run %d of %d", plural(connections), tokens.alg, i+1, s.b.Runs)
		m, err := s.run(ctx, connections, n, s.b.load, tokens)
		if err != nil {
			return err
		}
		flows.add(m.perSecond())
		cpu.add(ms(m.cpuGateway) / float64(m.flows))
	}
	return nil
}

// load is what one measurement gave.
type load struct {
	flows                        int
	took                         time.Duration
	all, starts                  []time.Duration // latencies, sorted
	lag                          time.Duration   // from the last answer to the last event's delivery
	cpuGateway, cpuRedis, cpuOwn time.Duration
}

func (l *load) perSecond() float64 { return float64(l.flows) / l.took.Seconds() }

func (l *load) perCPUSecond() float64 {
	return float64(l.flows) / max(l.cpuGateway+l.cpuRedis+l.cpuOwn, tick).Seconds()
}

// run sends flows over so many connections until n are done or the time is over.
func (s *signaler) run(ctx context.Context, connections, n int, limit time.Duration, tokens *purse) (*load, error) {
	taken, err := tokens.take(ctx, s, signalsPerFlow*n)
	if err != nil {
		return nil, err
	}
	requests, err := s.requests(taken)
	if err != nil {
		return nil, err
	}
	conns := make([]*conn, connections)
	for i := range conns {
		if conns[i], err = dial(ctx, s.at[i%len(s.at)]); err != nil {
			return nil, err
		}
		defer conns[i].close()
	}
	before, err := s.cpu()
	if err != nil {
		return nil, err
	}
	var (
		events    = s.outside.broker.taken.Load()
		next      atomic.Int64
		all       sync.WaitGroup
		latencies = make([][]time.Duration, connections)
		faults    = make([]error, connections)
		began     = time.Now()
		until     = began.Add(limit)
	)
	for i, c := range conns {
		all.Go(func() {
			for time.Now().Before(until) && ctx.Err() == nil {
				at := int(next.Add(1)) - 1
				if at >= n {
					return
				}
				for _, req := range requests[at] {
					sent := time.Now()
					if _, err := c.do(req); err != nil {
						faults[i] = err
						return
					}
					latencies[i] = append(latencies[i], time.Since(sent))
				}
			}
		})
	}
	all.Wait()
	l := &load{took: time.Since(began)}
	if err := errors.Join(append(faults, context.Cause(ctx))...); err != nil {
		return nil, err
	}
	for _, own := range latencies {
		for at := 0; at < len(own); at += signalsPerFlow {
			l.starts = append(l.starts, own[at])
		}
		l.all = append(l.all, own...)
	}
	l.flows = len(l.starts)
	slices.Sort(l.all)
	slices.Sort(l.starts)
	if l.lag, err = s.drained(ctx, events+int64(eventsPerFlow*l.flows)); err != nil {
		return nil, err
	}
	after, err := s.cpu()
	l.cpuGateway, l.cpuRedis, l.cpuOwn = after[0]-before[0], after[1]-before[1], after[2]-before[2]
	return l, err
}

func (s *signaler) cpu() (cpu [3]time.Duration, err error) {
	if cpu[0], err = cpuOf(s.gateway.PID()); err != nil {
		return cpu, err
	}
	cpu[1], err = cpuOf(s.redis.PID())
	cpu[2] = ownCPU()
	return cpu, err
}

// drained waits until the broker has every event, and returns how long that took.
func (s *signaler) drained(ctx context.Context, events int64) (time.Duration, error) {
	began := time.Now()
	for s.outside.broker.taken.Load() < events {
		if time.Since(began) > drainTime {
			return 0, fmt.Errorf("%d events are not delivered after %v", events-s.outside.broker.taken.Load(), drainTime)
		}
		if err := sleep(ctx, 200*time.Microsecond); err != nil {
			return 0, err
		}
	}
	return time.Since(began), nil
}

// requests makes the requests of new flows, a token for each.
func (s *signaler) requests(tokens []token) ([][signalsPerFlow][]byte, error) {
	out := make([][signalsPerFlow][]byte, len(tokens)/signalsPerFlow)
	for i := range out {
		var err error
		if out[i], err = s.flow(s.flows, tokens[signalsPerFlow*i:]); err != nil {
			return nil, err
		}
		s.flows++
	}
	return out, nil
}

const flowPrefix = "flow-"

func flowID(n int64) string { return fmt.Sprintf(flowPrefix+"%012d", n) }

// flow makes the three requests of a flow.
func (s *signaler) flow(n int64, tokens []token) (requests [signalsPerFlow][]byte, err error) {
	pc, id := tenantID(int(n)), flowID(n)
	start, err := startMessage(pc, id, agreement, s.datasets[n%tenants].ID)
	if err != nil {
		return requests, fmt.Errorf("message: %w", err)
	}
	base := "/participants/" + pc + "/dataflows/"
	for i, r := range []struct {
		method, path string
		body         []byte
	}{
		{http.MethodPost, "start", start},
		{http.MethodGet, id + "/status", nil},
		{http.MethodPost, id + "/terminate", []byte(`{"messageId":"end-of-` + id + `","reason":"measured"}`)},
	} {
		requests[i] = request(r.method, s.signaling, base+r.path, tokens[i].compact, r.body)
	}
	return requests, nil
}

// purse holds tokens of an algorithm. They are signed once and used in every measurement: before each, Redis is made to forget that
// it has seen them, so that the gateway does for each what it does for a new one.
type purse struct {
	alg    algorithm
	tokens []token
}

// take returns n tokens that the gateway takes for new.
func (p *purse) take(ctx context.Context, s *signaler, n int) ([]token, error) {
	if more := n - len(p.tokens); more > 0 {
		s.b.note("   signing %d tokens, %s", more, p.alg)
		signed, err := s.outside.sign(p.alg, more)
		if err != nil {
			return nil, err
		}
		p.tokens = append(p.tokens, signed...)
	}
	return p.tokens[:n], s.forgetTokens(ctx)
}

// forgetTokens removes the marks of tokens that were seen.
func (s *signaler) forgetTokens(ctx context.Context) error {
	marks := s.rdb.Scan(ctx, 0, "tg:{*}:jti:*", 10_000).Iterator()
	var keys []string
	for marks.Next(ctx) {
		keys = append(keys, marks.Val())
	}
	if err := marks.Err(); err != nil {
		return fmt.Errorf("marks of tokens: %w", err)
	}
	for batch := range slices.Chunk(keys, 1000) {
		if err := s.rdb.Unlink(ctx, batch...).Err(); err != nil {
			return fmt.Errorf("marks of tokens: %w", err)
		}
	}
	return nil
}
