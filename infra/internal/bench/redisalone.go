package bench

import (
	"bytes"
	"context"
	"crypto/sha1" //nolint:gosec // Redis names scripts by their SHA-1
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tidegate/tidegate/infra/internal/supervisor"
)

// redisAlone is a second redis-server that is sent the very script calls that the gateway makes for a flow: what is left if
// everything but Redis costs nothing.
type redisAlone struct {
	processes

	redis *supervisor.Process
	rdb   *redis.Client
	calls [signalsPerFlow]call
	trips [signalsPerFlow]int // commands that the gateway sends for each signal
	next  atomic.Int64
}

// call is a command on the wire, with the places where the flow's id and the token's id stand.
type call struct {
	Wire      []byte
	Flow, JTI []int // offsets of their last digits
}

// digits is how many of an id's last digits tell one from another.
const digits = 12

// newRedisAlone has the gateway make two flows, watches what it sends to Redis for them, and makes another Redis ready for the same.
func newRedisAlone(ctx context.Context, s *signaler) (_ *redisAlone, err error) {
	a := &redisAlone{}
	defer func() {
		if err != nil {
			a.close()
		}
	}()
	if a.redis, a.rdb, err = startRedis(ctx, &a.processes, filepath.Join(s.dir, "redis-alone")); err != nil {
		return nil, err
	}
	keys := map[string]bool{}
	for range 2 * tenants { // the last flow of the first tenant finds the scripts loaded
		tokens, err := s.outside.sign(rs256, signalsPerFlow)
		if err != nil {
			return nil, err
		}
		requests, err := s.flow(s.flows, tokens)
		if err != nil {
			return nil, err
		}
		ids := [signalsPerFlow]string{tokens[0].id, tokens[1].id, tokens[2].id}
		seen, err := s.watch(ctx, requests)
		if err != nil {
			return nil, fmt.Errorf("watching Redis: %w", err)
		}
		if err := a.learn(ctx, seen, flowID(s.flows), ids, keys, tenantID(int(s.flows)) == tenantID(0)); err != nil {
			return nil, err
		}
		s.flows++
	}
	if a.calls[0].Wire == nil || a.calls[1].Wire == nil || a.calls[2].Wire == nil {
		return nil, errors.New("watching Redis: not every signal has made a script call")
	}
	return a, a.copyKeys(ctx, s.rdb, keys)
}

func (a *redisAlone) close() {
	if a.rdb != nil {
		_ = a.rdb.Close()
	}
	a.stop()
}

// watch sends a flow's requests and returns what clients sent to Redis during each.
func (s *signaler) watch(ctx context.Context, requests [signalsPerFlow][]byte) (seen [signalsPerFlow][][]string, err error) {
	c, err := dial(ctx, s.signaling)
	if err != nil {
		return seen, err
	}
	defer c.close()
	m, err := dial(ctx, s.rdb.Options().Addr)
	if err != nil {
		return seen, err
	}
	defer m.close()
	if err := m.SetDeadline(time.Now().Add(callTime)); err != nil {
		return seen, fmt.Errorf("connection: %w", err)
	}
	if _, err := m.Write(wire("MONITOR")); err != nil {
		return seen, fmt.Errorf("sending: %w", err)
	}
	if err := skipReply(m.r); err != nil {
		return seen, err
	}
	for i, req := range requests {
		if _, err := c.do(req); err != nil {
			return seen, err
		}
		mark := "mark-" + strconv.Itoa(i)
		if err := s.rdb.Echo(ctx, mark).Err(); err != nil {
			return seen, fmt.Errorf("redis: %w", err)
		}
		for {
			l, err := m.r.ReadString('\n')
			if err != nil {
				return seen, fmt.Errorf("MONITOR: %w", err)
			}
			command := monitored(l)
			if len(command) == 2 && command[1] == mark {
				break
			}
			if command != nil {
				seen[i] = append(seen[i], command)
			}
		}
	}
	return seen, nil
}

// monitored reads a line of MONITOR: +1700000000.123456 [0 127.0.0.1:5000] "get" "key". It is nil for what a script does.
func monitored(line string) []string {
	_, rest, ok := strings.Cut(line, "] ")
	if !ok || strings.Contains(line[:len(line)-len(rest)], " lua] ") {
		return nil
	}
	var args []string
	for rest = strings.TrimSpace(rest); rest != ""; rest = strings.TrimLeft(rest, " ") {
		quoted, err := strconv.QuotedPrefix(rest)
		if err != nil {
			return nil
		}
		arg, err := strconv.Unquote(quoted)
		if err != nil {
			return nil
		}
		args = append(args, arg)
		rest = rest[len(quoted):]
	}
	return args
}

// learn takes scripts from what was seen and loads them; from a flow that found them loaded it takes the calls.
func (a *redisAlone) learn(ctx context.Context, seen [signalsPerFlow][][]string, flow string, ids [signalsPerFlow]string, keys map[string]bool, template bool) error {
	for i, commands := range seen {
		trips := 0
		for _, c := range commands {
			if !mentions(c, flow) && !mentions(c, ids[i]) {
				continue
			}
			trips++
			name := strings.ToLower(c[0])
			if name == "eval" && len(c) > 2 {
				if err := a.rdb.ScriptLoad(ctx, c[1]).Err(); err != nil {
					return fmt.Errorf("loading a script: %w", err)
				}
				sum := sha1.Sum([]byte(c[1])) //nolint:gosec // as above
				c = append([]string{"evalsha", hex.EncodeToString(sum[:])}, c[2:]...)
			} else if name != "evalsha" {
				continue
			}
			if !template {
				continue
			}
			n, err := strconv.Atoi(c[2])
			if err != nil || n > len(c)-3 {
				return fmt.Errorf("watching Redis: a script call with %q keys", c[2])
			}
			for _, key := range c[3 : 3+n] {
				keys[key] = true
			}
			b := wire(c...)
			a.calls[i] = call{Wire: b, Flow: ends(b, flow), JTI: ends(b, ids[i])}
		}
		if template {
			a.trips[i] = trips
		}
	}
	return nil
}

func mentions(command []string, id string) bool {
	for _, arg := range command {
		if strings.Contains(arg, id) {
			return true
		}
	}
	return false
}

// ends returns where the last digits of each occurrence of an id begin.
func ends(b []byte, id string) (at []int) {
	for from := 0; ; {
		i := bytes.Index(b[from:], []byte(id))
		if i < 0 {
			return at
		}
		from += i + len(id)
		at = append(at, from-digits)
	}
}

// copyKeys copies what the calls read: decision and dataset.
func (a *redisAlone) copyKeys(ctx context.Context, from *redis.Client, keys map[string]bool) error {
	for key := range keys {
		value, err := from.Dump(ctx, key).Result()
		if errors.Is(err, redis.Nil) {
			continue
		}
		if err == nil {
			err = a.rdb.RestoreReplace(ctx, key, 0, value).Err()
		}
		if err != nil {
			return fmt.Errorf("copying %s: %w", key, err)
		}
	}
	return nil
}

// run sends the calls of flows over so many connections for a while. It returns the flows per second, and Redis' CPU time of one.
func (a *redisAlone) run(ctx context.Context, connections int, limit time.Duration) (perSecond float64, cpu time.Duration, err error) {
	conns := make([]*conn, connections)
	for i := range conns {
		if conns[i], err = dial(ctx, a.rdb.Options().Addr); err != nil {
			return 0, 0, err
		}
		defer conns[i].close()
		if err := conns[i].SetDeadline(time.Now().Add(limit + callTime)); err != nil {
			return 0, 0, fmt.Errorf("connection: %w", err)
		}
	}
	before, err := cpuOf(a.redis.PID())
	if err != nil {
		return 0, 0, err
	}
	var (
		done   atomic.Int64
		all    sync.WaitGroup
		faults = make([]error, connections)
		began  = time.Now()
		until  = began.Add(limit)
	)
	for i, c := range conns {
		all.Go(func() {
			calls := a.calls
			for j := range calls {
				calls[j].Wire = bytes.Clone(calls[j].Wire)
			}
			for time.Now().Before(until) && ctx.Err() == nil {
				if faults[i] = a.flow(c, &calls); faults[i] != nil {
					return
				}
				done.Add(1)
			}
		})
	}
	all.Wait()
	took, flows := time.Since(began), max(1, done.Load())
	after, err := cpuOf(a.redis.PID())
	return float64(flows) / took.Seconds(), (after - before) / time.Duration(flows), errors.Join(append(faults, context.Cause(ctx), err)...)
}

// flow makes one flow's calls, with ids that were not there before.
func (a *redisAlone) flow(c *conn, calls *[signalsPerFlow]call) error {
	n := a.next.Add(1) + 500_000_000 // far from what the gateway was sent
	for i, call := range calls {
		put(call.Wire, call.Flow, n)
		put(call.Wire, call.JTI, n*signalsPerFlow+int64(i))
		if _, err := c.Write(call.Wire); err != nil {
			return fmt.Errorf("sending: %w", err)
		}
		if err := skipReply(c.r); err != nil {
			return err
		}
	}
	return nil
}

// put writes a number over the digits at some places.
func put(b []byte, places []int, n int64) {
	for i := digits - 1; i >= 0; i-- {
		d := byte('0' + n%10)
		n /= 10
		for _, at := range places {
			b[at+i] = d
		}
	}
}
