package gateway_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tidegate/tidegate/dps-gateway/internal/gateway"
	"github.com/tidegate/tidegate/dps-gateway/internal/redistest"
)

// BenchmarkSmall GETs 1 KiB over 64 connections: from the gateway, which checks the token and reads the live flow from a
// redis-server each time, and from Go's own reverse proxy, which checks nothing, before a file server of the same file.
func BenchmarkSmall(b *testing.B) {
	r, g := benchWorld(b, 1024)
	b.Run("gateway", func(b *testing.B) { load(b, r.public, g.path, g.token) })
	b.Run("reverse-proxy", func(b *testing.B) {
		addr := reverseProxy(b, r.w.path("buckets/provider"))
		load(b, addr, "/object", "")
	})
}

// BenchmarkLarge GETs 1 GiB over one connection.
func BenchmarkLarge(b *testing.B) {
	const size = 1 << 30
	r, g := benchWorld(b, size)
	get := func(b *testing.B, addr, path, token string) {
		b.Helper()
		b.SetBytes(size)
		for b.Loop() {
			c, br := dial(b, addr)
			if err := one(c, br, path, token, size); err != nil {
				b.Fatal(err)
			}
			c.Close()
		}
	}
	b.Run("gateway", func(b *testing.B) { get(b, r.public, g.path, g.token) })
	b.Run("reverse-proxy", func(b *testing.B) {
		get(b, reverseProxy(b, r.w.path("buckets/provider")), "/object", "")
	})
}

func benchWorld(b *testing.B, size int64) (*running, grant) {
	b.Helper()
	rdb, _ := redistest.Server(b, "--appendonly", "yes")
	w := newWorldOn(b, rdb, "redis://"+rdb.(*redis.Client).Options().Addr+"/0")
	r := w.start(func(c *gateway.Config) { c.MaxStreams = 0 })
	f, err := os.Create(w.path("buckets/provider/object"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	block := []byte(strings.Repeat("0123456789abcdef", 64))
	for n := int64(0); n < size; n += int64(len(block)) {
		if _, err := f.Write(block); err != nil {
			b.Fatal(err)
		}
	}
	return r, r.startFlow("provider", r.register("provider", "object", strings.Repeat("ab", 32)))
}

func reverseProxy(b *testing.B, dir string) string {
	b.Helper()
	store := httptest.NewServer(http.FileServer(http.Dir(dir)))
	b.Cleanup(store.Close)
	u, err := url.Parse(store.URL)
	if err != nil {
		b.Fatal(err)
	}
	p := httputil.NewSingleHostReverseProxy(u)
	tr := &http.Transport{MaxIdleConnsPerHost: 128}
	b.Cleanup(tr.CloseIdleConnections)
	p.Transport = tr
	proxy := httptest.NewServer(p)
	b.Cleanup(proxy.Close)
	return proxy.Listener.Addr().String()
}

func dial(b *testing.B, addr string) (net.Conn, *bufio.Reader) {
	b.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	return c, bufio.NewReaderSize(c, 64<<10)
}

// load makes b.N requests over 64 connections.
func load(b *testing.B, addr, path, token string) {
	b.Helper()
	var left atomic.Int64
	left.Store(int64(b.N))
	var all sync.WaitGroup
	b.ResetTimer()
	for range 64 {
		c, br := dial(b, addr)
		all.Go(func() {
			defer c.Close()
			for left.Add(-1) >= 0 {
				if err := one(c, br, path, token, 1024); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "req/s")
}

// one makes a request with as little work in the client as HTTP allows.
func one(c net.Conn, br *bufio.Reader, path, token string, size int64) error {
	if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer %s\r\n\r\n", path, token); err != nil {
		return err
	}
	status, err := br.ReadString('\n')
	if err != nil {
		return err
	}
	if !strings.Contains(status, " 200 ") {
		return fmt.Errorf("answered %s", status)
	}
	for {
		line, err := br.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(line) == 2 {
			break
		}
	}
	_, err = io.CopyN(io.Discard, br, size)
	return err
}

// BenchmarkCut measures from the answer to a suspend on one gateway to the end of an open stream on another.
func BenchmarkCut(b *testing.B) {
	rdb, _ := redistest.Server(b, "--appendonly", "yes")
	w := newWorldOn(b, rdb, "redis://"+rdb.(*redis.Client).Options().Addr+"/0")
	one, two := w.start(nil), w.start(nil)
	f, err := os.Create(w.path("buckets/provider/object"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(1 << 40); err != nil { // sparse: it never ends by itself
		b.Fatal(err)
	}
	d := one.register("provider", "object", strings.Repeat("ab", 32))
	var took []time.Duration
	for b.Loop() {
		g := one.startFlow("provider", d)
		res, err := two.hc.Do(two.request(http.MethodGet, g))
		if err != nil {
			b.Fatal(err)
		}
		ended := make(chan time.Time, 1)
		go func() {
			_, _ = io.Copy(io.Discard, res.Body)
			ended <- time.Now()
		}()
		one.signal("provider", g.flow+"/suspend", map[string]any{"messageId": "s"})
		answered := time.Now()
		took = append(took, max((<-ended).Sub(answered), 0))
		res.Body.Close()
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
}
