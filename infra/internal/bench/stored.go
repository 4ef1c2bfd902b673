package bench

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// flatBar is how much of the rate with few stored flows must be left with many.
const flatBar = 0.8

// storedRuns is the most runs of each figure: they are many.
const storedRuns = 3

// stored is part e: the same signals on a Redis that holds more and more flows, all of them live; then over two gateways.
func stored(ctx context.Context, b *bench) (*Part, error) {
	w, err := newWorld(ctx, b, "stored")
	if err != nil {
		return nil, err
	}
	defer w.close()
	s, err := newSignaler(ctx, w)
	if err != nil {
		return nil, err
	}
	connections := b.connection[len(b.connection)-1]
	f, err := newFiller(ctx, s)
	if err != nil {
		return nil, err
	}
	p := &Part{}
	p.remark("Stored flows are live ones of %d tenants: a flow that the gateway made, copied under other ids. Over %s, RS256.", tenants, plural(connections))
	p.remark("Redis: the most time that a kind of command took on average with the most stored flows, of those that the gateway sends: none grows with their number.")
	e := &storedBench{s: s, p: p, connections: connections, tokens: b.purses[rs256]}
	if e.n, err = s.enough(ctx, connections, e.tokens); err != nil {
		return nil, err
	}
	var few, many *storedRows
	for _, n := range b.stored {
		if err := f.fill(ctx, n); err != nil {
			return nil, fmt.Errorf("%d stored flows: %w", n, err)
		}
		if many, err = e.measure(ctx, grouped(n)+" stored: "); err != nil {
			return nil, fmt.Errorf("%d stored flows: %w", n, err)
		}
		if few == nil {
			few = many
		}
	}
	memory := p.figure("Redis' memory for a stored flow", "bytes", nil)
	memory.add(f.perFlow())
	flat := p.figure("rate with the most over that with the fewest", "×", b.bar(atLeast(flatBar)))
	flat.Samples = ratios(many.flows.Samples, few.flows.Samples)
	costs := p.figure("CPU of gateway and Redis with the most over that with the fewest", "×", b.bar(atMost(1/flatBar)))
	costs.Samples = ratios(sums(many.gateway, many.redis), sums(few.gateway, few.redis))
	slow := p.figure("p99 with the most over that with the fewest", "×", nil)
	slow.Samples = ratios(many.p99.Samples, few.p99.Samples)
	second, err := w.startReplica(ctx)
	if err != nil {
		return nil, err
	}
	s.at, e.more = append(s.at, second.signaling), []int{second.process.PID()}
	two, err := e.measure(ctx, "two replicas: ")
	if err != nil {
		return nil, fmt.Errorf("two replicas: %w", err)
	}
	two.flows.beside(many.flows, "one replica")
	two.gateway.beside(many.gateway, "one replica")
	return p.close(), w.crashed()
}

// sums adds the samples of two figures, run by run.
func sums(a, b *Figure) []float64 {
	out := make([]float64, min(len(a.Samples), len(b.Samples)))
	for i := range out {
		out[i] = a.Samples[i] + b.Samples[i]
	}
	return out
}

type storedBench struct {
	s           *signaler
	p           *Part
	connections int
	tokens      *purse
	n           int   // flows of a run
	more        []int // further gateways
}

type storedRows struct{ flows, p99, gateway, redis, list, scrape, slowest *Figure }

func (e *storedBench) measure(ctx context.Context, at string) (*storedRows, error) {
	r := &storedRows{
		flows: e.p.figure(at+"gateway", "flows/s", nil), p99: e.p.figure(at+"a signal, p99", "ms", nil),
		gateway: e.p.figure(at+"CPU of the gateway", "ms/flow", nil), redis: e.p.figure(at+"CPU of Redis", "ms/flow", nil),
		list: e.p.figure(at+"a page of 100 flows", "ms", nil), scrape: e.p.figure(at+"a scrape of /metrics", "ms", nil),
		slowest: e.p.figure(at+"Redis' slowest command", "µs", nil),
	}
	for i := range min(e.s.b.Runs, storedRuns) {
		e.s.b.note("e) %srun %d of %d", at, i+1, min(e.s.b.Runs, storedRuns))
		before, err := cpuOfAll(e.more)
		if err != nil {
			return nil, err
		}
		m, err := e.s.run(ctx, e.connections, e.n, e.s.b.load, e.tokens)
		if err != nil {
			return nil, err
		}
		after, err := cpuOfAll(e.more)
		if err != nil {
			return nil, err
		}
		r.flows.add(m.perSecond())
		r.p99.add(percentile(m.all, 99))
		r.gateway.add(ms(m.cpuGateway+after-before) / float64(m.flows))
		r.redis.add(ms(m.cpuRedis) / float64(m.flows))
		if err := e.reads(ctx, r); err != nil {
			return nil, err
		}
	}
	return r, nil
}

func cpuOfAll(pids []int) (sum time.Duration, err error) {
	for _, pid := range pids {
		c, err := cpuOf(pid)
		if err != nil {
			return 0, err
		}
		sum += c
	}
	return sum, nil
}

// reads measures what operators read, and sees by Redis' own count that nothing the gateway sends is slow.
func (e *storedBench) reads(ctx context.Context, r *storedRows) error {
	began := time.Now()
	left := 100
	for _, err := range e.s.api.Flows(ctx, tenantID(0)) {
		if err != nil {
			return fmt.Errorf("flows: %w", err)
		}
		if left--; left == 0 {
			break
		}
	}
	r.list.add(ms(time.Since(began)))
	if left == 100 {
		return errors.New("there are no flows to list")
	}
	began = time.Now()
	if err := get(ctx, "http://"+e.s.metrics+"/metrics"); err != nil {
		return err
	}
	r.scrape.add(ms(time.Since(began)))
	slowest, err := e.s.slowest(ctx)
	if err != nil {
		return err
	}
	r.slowest.add(slowest)
	return nil
}

// ours are the commands that the bench itself sends.
var ours = []string{"scan", "unlink", "restore", "dump", "info", "config|resetstat", "memory|usage", "eval"}

// slowest is the longest mean time of a command since the last call, in microseconds.
func (s *signaler) slowest(ctx context.Context) (float64, error) {
	stats, err := s.rdb.Info(ctx, "commandstats").Result()
	if err != nil {
		return 0, fmt.Errorf("redis: %w", err)
	}
	most := 0.0
	for l := range strings.Lines(stats) {
		name, rest, ok := strings.Cut(strings.TrimPrefix(l, "cmdstat_"), ":")
		_, value, found := strings.Cut(rest, "usec_per_call=")
		value, _, _ = strings.Cut(value, ",")
		v, err := strconv.ParseFloat(value, 64)
		if ok && found && err == nil && !slices.Contains(ours, name) {
			most = max(most, v)
		}
	}
	if err := s.rdb.ConfigResetStat(ctx).Err(); err != nil {
		return 0, fmt.Errorf("redis: %w", err)
	}
	return most, nil
}

func get(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fmt.Errorf("reading: %w", err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("reading: %w", err)
	}
	_ = res.Body.Close() // its beginning is enough
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %d", url, res.StatusCode)
	}
	return nil
}

// filler stores flows: copies of one that the gateway has made, as Redis itself writes it down.
type filler struct {
	s     *signaler
	dump  string
	flow  [tenants]string // the key of a tenant's flow, without the id
	index [tenants]string // of the tenant's live flows
	there int
	used  int64 // bytes of Redis' memory, by what was stored
}

// newFiller has the gateway make a flow for each tenant, and finds where they lie.
func newFiller(ctx context.Context, s *signaler) (*filler, error) {
	f := &filler{s: s}
	c, err := dial(ctx, s.signaling)
	if err != nil {
		return nil, err
	}
	defer c.close()
	for range tenants {
		tokens, err := s.outside.sign(rs256, signalsPerFlow)
		if err != nil {
			return nil, err
		}
		n := s.flows
		requests, err := s.flow(n, tokens)
		if err != nil {
			return nil, err
		}
		s.flows++
		if _, err := c.do(requests[0]); err != nil {
			return nil, err
		}
		pc := tenantID(int(n))
		keys, err := s.rdb.Keys(ctx, "tg:{*}:flow*:"+pc+"*").Result() // there are few yet
		if err != nil || len(keys) != 2 {
			return nil, fmt.Errorf("a flow and its index lie under %d keys: %w", len(keys), err)
		}
		slices.SortFunc(keys, func(a, b string) int { return len(b) - len(a) })
		f.flow[n%tenants], f.index[n%tenants] = strings.TrimSuffix(keys[0], flowID(n)), keys[1]
		if f.dump, err = s.rdb.Dump(ctx, keys[0]).Result(); err != nil {
			return nil, fmt.Errorf("redis: %w", err)
		}
	}
	return f, nil
}

func (f *filler) memory(ctx context.Context) (int64, error) {
	info, err := f.s.rdb.Info(ctx, "memory").Result()
	if err != nil {
		return 0, fmt.Errorf("redis: %w", err)
	}
	_, rest, _ := strings.Cut(info, "used_memory:")
	value, _, _ := strings.Cut(rest, "\r")
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("redis: used_memory: %w", err)
	}
	return n, nil
}

// fill stores flows until there are n.
func (f *filler) fill(ctx context.Context, n int) error {
	f.s.b.note("e) storing %d flows", n)
	if err := f.s.rdb.ConfigSet(ctx, "auto-aof-rewrite-percentage", "0").Err(); err != nil { // the file is not what is measured
		return fmt.Errorf("redis: %w", err)
	}
	before, err := f.memory(ctx)
	if err != nil {
		return err
	}
	const batch = 1000
	for f.there < n {
		end := min(n, f.there+batch)
		if _, err := f.s.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
			var ids [tenants][]redis.Z
			for i := f.there; i < end; i++ {
				id := fmt.Sprintf("stored-%012d", i)
				p.Restore(ctx, f.flow[i%tenants]+id, 0, f.dump)
				ids[i%tenants] = append(ids[i%tenants], redis.Z{Member: id})
			}
			for t := range ids {
				if len(ids[t]) > 0 {
					p.ZAdd(ctx, f.index[t], ids[t]...)
				}
			}
			return nil
		}); err != nil {
			return fmt.Errorf("redis: %w", err)
		}
		f.there = end
	}
	after, err := f.memory(ctx)
	if err != nil {
		return err
	}
	f.used += after - before
	_, err = f.s.slowest(ctx) // what was sent until now does not count
	return err
}

// perFlow is what a stored flow takes, its place in the index included.
func (f *filler) perFlow() float64 { return float64(f.used) / float64(max(1, f.there)) }

// grouped writes a number with a space between thousands.
func grouped(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + " " + s[i:]
	}
	return s
}

// bar is one that counts only in a run that means something.
func (b *bench) bar(bar *Bar) *Bar {
	if b.Short {
		return nil
	}
	return bar
}
