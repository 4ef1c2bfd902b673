// Package redistest gives tests a Redis: the embedded one, and a real redis-server process where there is one.
package redistest

import (
	"context"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
)

// Mini returns a client of a fresh embedded Redis, whose keys expire in real time.
func Mini(tb testing.TB) (redis.UniversalClient, *miniredis.Miniredis) {
	tb.Helper()
	m := miniredis.RunT(tb)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		const step = 50 * time.Millisecond
		tick := time.NewTicker(step)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				m.FastForward(step)
			case <-stop:
				return
			}
		}
	}()
	tb.Cleanup(func() {
		close(stop)
		<-stopped
	})
	return client(tb, m.Addr()), m
}

// Server returns a client of a fresh redis-server, started with the given further arguments, and its process. Where there is
// no redis-server the test is skipped, but in CI it fails: there everything must have run.
func Server(tb testing.TB, args ...string) (redis.UniversalClient, *exec.Cmd) {
	tb.Helper()
	bin, err := exec.LookPath("redis-server")
	switch {
	case err != nil && os.Getenv("CI") != "":
		tb.Fatal("redis-server is not installed: make test-tools installs it")
	case err != nil:
		tb.Skip("redis-server is not installed: make test-tools installs it")
	}
	// A port that was free a moment ago may be taken by the time the server asks for it: then another one is tried.
	for range 5 {
		if c, cmd := tryServer(tb, bin, args); c != nil {
			return c, cmd
		}
	}
	tb.Fatal("redis-server does not start")
	return nil, nil
}

// tryServer starts a server on a port that is free now; nil if it ends instead of answering.
func tryServer(tb testing.TB, bin string, args []string) (redis.UniversalClient, *exec.Cmd) {
	tb.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(tb.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	port := strconv.Itoa(l.Addr().(*net.TCPAddr).Port) //nolint:forcetypeassert // a TCP listener has one
	_ = l.Close()
	args = append([]string{"--bind", "127.0.0.1", "--port", port, "--save", "", "--dir", tb.TempDir()}, args...)
	cmd := exec.Command(bin, args...) //nolint:gosec,noctx // ended by the cleanup below
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	tb.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended already
		<-ended
	})
	c := client(tb, net.JoinHostPort("127.0.0.1", port))
	for deadline := time.Now().Add(20 * time.Second); ; {
		if err := c.Ping(context.Background()).Err(); err == nil {
			return c, cmd
		} else if time.Now().After(deadline) {
			tb.Fatalf("redis-server does not answer: %v", err)
		}
		select {
		case <-ended:
			return nil, nil
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// Cluster returns a client of a fresh redis-server in cluster mode that owns all slots: it refuses commands and scripts whose
// keys are not of one slot, as a cluster of many does.
func Cluster(tb testing.TB) redis.UniversalClient {
	tb.Helper()
	single, _ := Server(tb, "--cluster-enabled", "yes")
	ctx := context.Background()
	if err := single.Do(ctx, "CLUSTER", "ADDSLOTSRANGE", "0", "16383").Err(); err != nil {
		tb.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		info, err := single.ClusterInfo(ctx).Result()
		if err == nil && strings.Contains(info, "cluster_state:ok") {
			break
		}
		if time.Now().After(deadline) {
			tb.Fatalf("the cluster does not come up: %s %v", info, err)
		}
	}
	c := redis.NewClusterClient(&redis.ClusterOptions{
		Addrs: []string{single.(*redis.Client).Options().Addr}, DisableIdentity: true, //nolint:forcetypeassert // made by client
	})
	tb.Cleanup(func() { _ = c.Close() })
	return c
}

func client(tb testing.TB, addr string) redis.UniversalClient {
	tb.Helper()
	c := redis.NewUniversalClient(&redis.UniversalOptions{Addrs: []string{addr}, DisableIdentity: true})
	tb.Cleanup(func() { _ = c.Close() })
	return c
}

// Kinds are the ways to get a fresh Redis, by name: a test runs on each.
func Kinds() map[string]func(tb testing.TB) redis.UniversalClient {
	return map[string]func(tb testing.TB) redis.UniversalClient{
		"miniredis":    func(tb testing.TB) redis.UniversalClient { tb.Helper(); c, _ := Mini(tb); return c },
		"redis-server": func(tb testing.TB) redis.UniversalClient { tb.Helper(); c, _ := Server(tb); return c },
	}
}

// Each runs a test on every kind.
func Each(t *testing.T, test func(t *testing.T, rdb redis.UniversalClient)) {
	t.Helper()
	for name, open := range Kinds() {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}
