package signaling_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/tidegate/tidegate/dps-gateway/internal/redistest"
	"github.com/tidegate/tidegate/shared/tenant"
)

// BenchmarkFlow is one flow: start, status and terminate over HTTP, with a real redis-server whose append-only file is on. An
// operation is a flow, so 1/(ns/op) is flows per second. "signed" checks a signed token with each call (minted beforehand),
// "network" none.
func BenchmarkFlow(b *testing.B) {
	for _, mode := range []string{"network", "signed"} {
		for _, connections := range []int{1, 64} {
			b.Run(fmt.Sprintf("%s/connections=%d", mode, connections), func(b *testing.B) {
				rdb, _ := redistest.Server(b, "--appendonly", "yes", "--appendfsync", "everysec")
				w := newWorld(b, rdb)
				w.approve("provider", "agr-1", "asset-1", "them-id")
				if mode == "network" {
					w.tenants["provider"].ControlPlane.Signaling.Authorization = tenant.SignalingAuthorization{Type: tenant.SignalingNetwork}
				}
				hc := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: connections, MaxConnsPerHost: connections}}
				defer hc.CloseIdleConnections()
				tokens := make([]string, 3*b.N)
				if mode == "signed" {
					for i := range tokens {
						tokens[i] = w.idp.token(b, nil)
					}
				}
				call := func(method, rest, token, body string) {
					req, err := http.NewRequestWithContext(b.Context(), method, w.url+"/participants/provider/dataflows/"+rest, strings.NewReader(body))
					if err != nil {
						b.Error(err)
						return
					}
					req.Header.Set("Authorization", "Bearer "+token)
					res, err := hc.Do(req)
					if err != nil {
						b.Error(err)
						return
					}
					_, _ = io.Copy(io.Discard, res.Body) // or the connection is not used again
					_ = res.Body.Close()
					if res.StatusCode != http.StatusOK {
						b.Errorf("%s: %d", rest, res.StatusCode)
					}
				}
				var next atomic.Int64
				var all sync.WaitGroup
				b.ResetTimer()
				for range connections {
					all.Go(func() {
						for {
							i := int(next.Add(1)) - 1
							if i >= b.N {
								return
							}
							id := fmt.Sprint("tp-", i)
							call(http.MethodPost, "start", tokens[3*i], flowMessage("m", id))
							call(http.MethodGet, id+"/status", tokens[3*i+1], "")
							call(http.MethodPost, id+"/terminate", tokens[3*i+2], `{"messageId":"t"}`)
						}
					})
				}
				all.Wait()
				b.StopTimer()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "flows/s")
			})
		}
	}
}
