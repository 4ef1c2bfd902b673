package bench

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"time"

	"github.com/tidegate/tidegate/infra/internal/supervisor"
)

// The variables that make the bench's own program a plain reverse proxy.
const (
	proxyAddr = "BENCH_PROXY_ADDR"
	proxyTo   = "BENCH_PROXY_TO"
)

// serveProxy serves a plain httputil.ReverseProxy, with no check of anything, if this process was started for that.
func serveProxy() bool {
	addr, ok := os.LookupEnv(proxyAddr)
	if !ok {
		return false
	}
	to, err := url.Parse(os.Getenv(proxyTo))
	if err != nil {
		return true
	}
	proxy := httputil.NewSingleHostReverseProxy(to)
	proxy.Transport = &http.Transport{MaxIdleConnsPerHost: 256, DisableCompression: true}                // Go's default of 2 would measure connecting
	_ = (&http.Server{Addr: addr, Handler: proxy, ReadHeaderTimeout: 10 * time.Second}).ListenAndServe() // ended by a signal
	return true
}

func startProxy(ctx context.Context, ps *processes, log, to string) (*supervisor.Process, string, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, "", fmt.Errorf("reverse proxy: %w", err)
	}
	addrs, err := freeAddrs(1)
	if err != nil {
		return nil, "", err
	}
	p, err := ps.ready(ctx, supervisor.Program{
		Name: "reverse proxy", Path: self, Env: append(baseEnv(), proxyAddr+"="+addrs[0], proxyTo+"=http://"+to), Log: log,
		Health: "http://" + addrs[0] + "/" + healthFile,
	})
	return p, addrs[0], err
}
