package localbroker_test

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// BenchmarkPublish publishes over HTTP with the store on disk, each event fsynced before its 202 and delivered to one
// subscriber. It reports accepted events per second, and the time from before the request to the arrival at the subscriber.
func BenchmarkPublish(b *testing.B) {
	for _, publishers := range []int{1, 64} {
		b.Run(fmt.Sprintf("publishers=%d", publishers), func(b *testing.B) {
			sent := make([]atomic.Int64, b.N)
			latency := make([]int64, b.N)
			var arrived atomic.Int64
			sub := subscribeFast(b, func(r *http.Request) {
				now := time.Now().UnixNano()
				var i int
				if _, err := fmt.Sscan(r.Header.Get("Ce-Id"), &i); err == nil {
					latency[i] = now - sent[i].Load()
					arrived.Add(1)
				}
			})
			br := start(b, &setup{manifests: brokerYAML + trigger("a", "a", ""), subscribers: map[string]string{"a": sub}})
			client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: publishers}}
			defer client.CloseIdleConnections()
			var next atomic.Int64
			var all sync.WaitGroup
			b.ResetTimer()
			begin := time.Now()
			for range publishers {
				all.Go(func() {
					for {
						i := int(next.Add(1)) - 1
						if i >= b.N {
							return
						}
						r := request(b, br.url, fmt.Sprint(i), nil, `{"bucket":"outbox","key":"a.csv","size":5120}`)
						sent[i].Store(time.Now().UnixNano())
						resp, err := client.Do(r)
						if err != nil {
							b.Error(err)
							return
						}
						_, _ = io.Copy(io.Discard, resp.Body)
						_ = resp.Body.Close()
						if resp.StatusCode != http.StatusAccepted {
							b.Error(resp.Status)
							return
						}
					}
				})
			}
			all.Wait()
			accepted := time.Since(begin)
			b.StopTimer()
			eventually(b, "all have arrived", func() bool { return arrived.Load() >= int64(b.N) })
			slices.Sort(latency)
			b.ReportMetric(float64(b.N)/accepted.Seconds(), "accepted/s")
			b.ReportMetric(float64(latency[b.N/2])/1e6, "p50-ms")
			b.ReportMetric(float64(latency[b.N*99/100])/1e6, "p99-ms")
			br.stop()
		})
	}
}

// subscribeFast is a subscriber that keeps nothing.
func subscribeFast(b *testing.B, note func(*http.Request)) string {
	b.Helper()
	mux := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		note(r)
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusNoContent)
	})
	s := subscribe(b, nil)
	s.Config.Handler = mux
	return strings.TrimSuffix(s.URL, "/")
}
