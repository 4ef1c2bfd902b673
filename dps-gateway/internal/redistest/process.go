package redistest

import (
	"context"
	"net"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tidegate/tidegate/shared/loopback"
)

// Process is a redis-server that a test stops, continues, kills and starts again.
type Process struct {
	Addr string
	Dir  string
	tb   testing.TB
	bus  string // the port where a cluster's nodes talk to it
	args []string
	cmd  *exec.Cmd
}

// NewProcess starts a redis-server on a free port; args may turn on what the default, nothing kept on disk, turns off. The test
// is skipped where there is no redis-server.
func NewProcess(tb testing.TB, args ...string) *Process {
	tb.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		tb.Skip("redis-server is not installed")
	}
	port, err := loopback.Ports(2)
	if err != nil {
		tb.Fatal(err)
	}
	p := &Process{Addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), Dir: tb.TempDir(), tb: tb, bus: strconv.Itoa(port + 1)}
	p.args = append([]string{"--bind", "127.0.0.1", "--port", strconv.Itoa(port), "--cluster-port", p.bus, "--save", "", "--dir", p.Dir}, args...)
	p.Start()
	tb.Cleanup(p.Kill)
	return p
}

// Start starts it, again if need be, with what it had kept, and waits until it answers.
func (p *Process) Start() {
	p.tb.Helper()
	p.cmd = exec.Command("redis-server", p.args...) //nolint:gosec,noctx // ended by Kill
	if err := p.cmd.Start(); err != nil {
		p.tb.Fatal(err)
	}
	c := redis.NewClient(&redis.Options{Addr: p.Addr, DisableIdentity: true})
	defer func() { _ = c.Close() }()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		err := c.Ping(context.Background()).Err()
		if err == nil || redis.HasErrorPrefix(err, "NOAUTH") {
			return
		}
		if time.Now().After(deadline) {
			p.tb.Fatalf("redis-server does not answer: %v", err)
		}
	}
}

// Kill ends it at once.
func (p *Process) Kill() {
	_ = p.cmd.Process.Signal(syscall.SIGCONT)
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

// Load restarts it, one that keeps an append-only file, and returns while it loads what it has kept: it goes on with that until Loaded
// is called, or for some minutes.
func (p *Process) Load() {
	p.tb.Helper()
	const fillers = 10000
	ctx := context.Background()
	c := redis.NewClient(&redis.Options{Addr: p.Addr, DisableIdentity: true, MaxRetries: -1})
	defer func() { _ = c.Close() }()
	_, err := c.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for i := range fillers {
			pipe.Set(ctx, "filler:"+strconv.Itoa(i), strings.Repeat("x", 512), 0)
		}
		return nil
	})
	must(p.tb, err)
	must(p.tb, c.ConfigSet(ctx, "rdbcompression", "no").Err())
	must(p.tb, c.BgRewriteAOF(ctx).Err())
	p.until(c, "persistence", "aof_rewrite_in_progress:0", "aof_rewrite_scheduled:0")
	p.Kill()
	// A pause of 20 ms after each key; between two of them it answers, as it does between megabytes of a large file.
	args := append(slices.Clone(p.args), "--key-load-delay", "20000", "--loading-process-events-interval-bytes", "1024")
	p.cmd = exec.Command("redis-server", args...) //nolint:gosec,noctx // ended by Kill
	must(p.tb, p.cmd.Start())
	p.until(c, "persistence", "loading:1")
}

// Loaded lets what Load has begun come to its end.
func (p *Process) Loaded() {
	p.tb.Helper()
	c := redis.NewClient(&redis.Options{Addr: p.Addr, DisableIdentity: true, MaxRetries: -1})
	defer func() { _ = c.Close() }()
	must(p.tb, c.ConfigSet(context.Background(), "key-load-delay", "0").Err())
	p.until(c, "persistence", "loading:0")
}

// until waits until a section of INFO has all the lines.
func (p *Process) until(c *redis.Client, section string, lines ...string) {
	p.tb.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		info := c.Info(context.Background(), section).Val()
		if !slices.ContainsFunc(lines, func(l string) bool { return !strings.Contains(info, l+"\r\n") }) {
			return
		}
		if time.Now().After(deadline) {
			p.tb.Fatalf("redis-server does not say %q: %s", lines, info)
		}
	}
}

// Stop freezes it: connections stay, nothing is answered.
func (p *Process) Stop() { _ = p.cmd.Process.Signal(syscall.SIGSTOP) }

// Continue lets it go on.
func (p *Process) Continue() { _ = p.cmd.Process.Signal(syscall.SIGCONT) }

// Client returns a client of it.
func (p *Process) Client() *redis.Client {
	c := redis.NewClient(&redis.Options{Addr: p.Addr, DisableIdentity: true})
	p.tb.Cleanup(func() { _ = c.Close() })
	return c
}

// Cluster3 returns a client of a fresh Redis Cluster of three servers, a third of the slots each.
func Cluster3(tb testing.TB) *redis.ClusterClient {
	tb.Helper()
	const nodes, slots = 3, 16384
	ctx := context.Background()
	var addrs []string
	var first *Process
	var clients []*redis.Client
	for i := range nodes {
		p := NewProcess(tb, "--cluster-enabled", "yes", "--cluster-node-timeout", "2000")
		c := p.Client()
		must(tb, c.Do(ctx, "CLUSTER", "ADDSLOTSRANGE", i*slots/nodes, (i+1)*slots/nodes-1).Err())
		must(tb, c.Do(ctx, "CLUSTER", "SET-CONFIG-EPOCH", i+1).Err())
		if i == 0 {
			first = p
		} else {
			host, port, _ := net.SplitHostPort(first.Addr)
			must(tb, c.Do(ctx, "CLUSTER", "MEET", host, port, first.bus).Err())
		}
		addrs, clients = append(addrs, p.Addr), append(clients, c)
	}
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		ok := 0
		for _, c := range clients {
			info, err := c.ClusterInfo(ctx).Result()
			if err == nil && strings.Contains(info, "cluster_state:ok") && strings.Contains(info, "cluster_known_nodes:3") {
				ok++
			}
		}
		if ok == nodes {
			break
		}
		if time.Now().After(deadline) {
			tb.Fatal("the cluster does not come up")
		}
	}
	c := redis.NewClusterClient(&redis.ClusterOptions{Addrs: addrs, DisableIdentity: true})
	tb.Cleanup(func() { _ = c.Close() })
	return c
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}
