package gateway_test

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidegate/tidegate/dps-gateway/internal/gateway"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/problem"
)

// refers answers by the reference that the dataset's record gives.
func refers(rw http.ResponseWriter, q *gatewayapi.DataRequest) {
	rw.Header().Set("Content-Type", gatewayapi.ReferenceContentType)
	_ = json.NewEncoder(rw).Encode(reference(q))
}

// detail is the detail of a problem document.
func (a answer) detail(tb testing.TB) string {
	tb.Helper()
	var doc problem.Document
	if err := json.Unmarshal(a.body, &doc); err != nil {
		tb.Fatalf("%d: %v: %s", a.code, err, a.body)
	}
	return doc.Detail
}

// TestAColdStartIsOneRequestAndABoundedQueue has 200 requests of 20 flows come while the data server is starting. One of them wakes
// it, as many as there is room wait for that one, and the rest is told to come back; another tenant's requests are not held up.
func TestAColdStartIsOneRequestAndABoundedQueue(t *testing.T) {
	const flows, each, room = 20, 10, 90
	w := newWorld(t)
	r := w.start(func(c *gateway.Config) { c.DataWaiting, c.DataWait = room, time.Minute })
	var grants []grant
	for i := range flows {
		grants = append(grants, r.startFlow("provider", r.publish("provider", fmt.Sprint("f", i), []byte("cold"))))
	}
	other := r.startFlow("other", r.publish("other", "o", []byte("warm")))
	up := make(chan struct{})
	start := sync.OnceFunc(func() { close(up) })
	defer start()
	w.server.answers(func(rw http.ResponseWriter, _ *http.Request, q *gatewayapi.DataRequest) {
		if q.ParticipantContextID == "provider" {
			<-up
		}
		refers(rw, q)
	})
	var (
		all   sync.WaitGroup
		mu    sync.Mutex
		codes = map[int]int{}
	)
	refused := func() int { mu.Lock(); defer mu.Unlock(); return codes[503] }
	for range each {
		for _, g := range grants {
			all.Go(func() {
				a := r.get(g)
				mu.Lock()
				defer mu.Unlock()
				codes[a.code]++
				if a.code == 503 && a.header.Get("Retry-After") == "" {
					t.Errorf("refused without a word of when to come back: %s", a.body)
				}
			})
		}
	}
	within(t, "all but the waiting ones are answered", func() bool { return refused() >= flows*each-room-1 })
	if n := w.server.calls.Load(); n != 1 {
		t.Errorf("the data server that is starting was asked %d times", n)
	}
	began := time.Now()
	if a := r.get(other); a.code != 200 || time.Since(began) > 10*time.Second {
		t.Errorf("another tenant: %d after %v", a.code, time.Since(began))
	}
	start()
	all.Wait()
	if (codes[200] != room && codes[200] != room+1) || codes[200]+codes[503] != flows*each { // one more: the one that wakes it does not wait
		t.Errorf("answers: %v", codes)
	}
}

func TestAColdStartThatFailsIsToldToAllWhoWait(t *testing.T) {
	w := newWorld(t)
	r := w.start(func(c *gateway.Config) { c.DataWait = 300 * time.Millisecond })
	w.server.answers(func(_ http.ResponseWriter, req *http.Request, _ *gatewayapi.DataRequest) { <-req.Context().Done() })
	var all sync.WaitGroup
	for i := range 8 {
		g := r.startFlow("provider", r.publish("provider", fmt.Sprint("f", i), []byte("cold")))
		all.Go(func() {
			began := time.Now()
			if a := r.get(g); a.code != 504 || time.Since(began) > 15*time.Second {
				t.Errorf("%d after %v: %s", a.code, time.Since(began), a.body)
			}
		})
	}
	all.Wait()
}

// TestAPartThatFailsAgainAndAgainIsSpared has the data server of one bucket fail until it is spared, and then recover.
func TestAPartThatFailsAgainAndAgainIsSpared(t *testing.T) {
	for name, fail := range map[string]func(http.ResponseWriter){
		"it can't be reached":      func(http.ResponseWriter) { panic(http.ErrAbortHandler) },
		"its back end is down":     func(rw http.ResponseWriter) { rw.WriteHeader(http.StatusBadGateway) },
		"its back end is too slow": func(rw http.ResponseWriter) { rw.WriteHeader(http.StatusGatewayTimeout) },
		"it is overloaded":         func(rw http.ResponseWriter) { rw.WriteHeader(http.StatusServiceUnavailable) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			r := w.start(func(c *gateway.Config) { c.DataPause = time.Second })
			g := r.startFlow("provider", r.publish("provider", "a", []byte("a")))
			other := r.startFlow("other", r.publish("other", "o", []byte("o")))
			w.server.answers(func(rw http.ResponseWriter, _ *http.Request, q *gatewayapi.DataRequest) {
				if q.ParticipantContextID == "provider" {
					fail(rw)
					return
				}
				refers(rw, q)
			})
			for range 5 {
				if a := r.get(g); a.code < 502 {
					t.Fatalf("%d %s", a.code, a.body)
				}
			}
			before := w.server.calls.Load()
			a := r.get(g)
			if a.code != 503 || a.header.Get("Retry-After") != "1" || !strings.Contains(a.detail(t), "the provider's data server has failed several times") {
				t.Errorf("the sixth: %d, Retry-After %q: %s", a.code, a.header.Get("Retry-After"), a.body)
			}
			if n := w.server.calls.Load(); n != before {
				t.Errorf("what is spared was asked %d times", n-before)
			}
			if a := r.get(other); a.code != 200 {
				t.Errorf("another tenant: %d %s", a.code, a.body)
			}
			w.server.answers(nil)
			within(t, "served again", func() bool { return r.get(g).code == 200 })
		})
	}
}

// TestARequestThatFailsShutsNoDoor has what a consumer asks for fail again and again: other requests are answered.
func TestARequestThatFailsShutsNoDoor(t *testing.T) {
	w := newWorld(t)
	r := w.start(nil)
	g := r.startFlow("provider", r.publish("provider", "a", []byte("a")))
	w.server.answers(func(rw http.ResponseWriter, _ *http.Request, q *gatewayapi.DataRequest) {
		switch q.Path {
		case "/boom":
			rw.WriteHeader(http.StatusInternalServerError)
		case "/no":
			rw.WriteHeader(http.StatusBadRequest)
		case "/gone":
			rw.WriteHeader(http.StatusNotFound)
		default:
			refers(rw, q)
		}
	})
	for path, code := range map[string]int{"/boom": 502, "/no": 400, "/gone": 404} {
		bad := g
		bad.path += path
		for range 8 {
			if a := r.get(bad); a.code != code {
				t.Errorf("%s: %d %s", path, a.code, a.body)
			}
		}
	}
	if a := r.get(g); a.code != 200 {
		t.Errorf("%d %s", a.code, a.body)
	}
}

// elsewhere gives the provider a bucket "away" at an S3 endpoint, in which the data server finds what is asked for below /away.
func (w *world) elsewhere(endpoint string) {
	w.write("secrets/s3", "accessKey=a\nsecretKey=b\n")
	w.tenant("provider", fmt.Sprintf("  - name: away\n    url: s3://bucket?region=eu&endpoint=%s\n    credentialsFile: %s\n", endpoint, w.path("secrets/s3")))
	w.server.answers(func(rw http.ResponseWriter, _ *http.Request, q *gatewayapi.DataRequest) {
		ref := reference(q)
		if q.Path == "/away" {
			ref.Bucket = "away"
		}
		rw.Header().Set("Content-Type", gatewayapi.ReferenceContentType)
		_ = json.NewEncoder(rw).Encode(ref)
	})
}

func TestAnObjectStoreThatFailsIsNamedAndSpared(t *testing.T) {
	silent, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0") // takes connections and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	for name, c := range map[string]struct {
		endpoint string
		codes    []int
	}{
		"it can't be reached": {"http://127.0.0.1:1", []int{503, 504}}, // the driver tries again for a while
		"it hangs":            {"http://" + silent.Addr().String(), []int{504}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.elsewhere(c.endpoint)
			r := w.start(func(c *gateway.Config) { c.DataWait, c.DataPause = 500*time.Millisecond, time.Minute })
			g := r.startFlow("provider", r.publish("provider", "a", []byte("a")))
			away := g
			away.path += "/away"
			for range 5 {
				began := time.Now()
				if a := r.get(away); !slices.Contains(c.codes, a.code) || !strings.HasPrefix(a.detail(t), "the provider's object store ") || time.Since(began) > 15*time.Second {
					t.Fatalf("%d after %v: %s", a.code, time.Since(began), a.body)
				}
			}
			if a := r.get(away); a.code != 503 || a.header.Get("Retry-After") != "60" || !strings.Contains(a.detail(t), "the provider's object store has failed several times") {
				t.Errorf("the sixth: %d %s", a.code, a.body)
			}
			if a := r.get(g); a.code != 200 {
				t.Errorf("another bucket of the tenant: %d %s", a.code, a.body)
			}
		})
	}
}

func TestWhatOfARequestADataServerSees(t *testing.T) {
	w := newWorld(t)
	r := w.start(nil)
	g := r.startFlow("provider", r.publish("provider", "a", []byte("a")))
	w.server.answers(func(rw http.ResponseWriter, _ *http.Request, q *gatewayapi.DataRequest) {
		_ = json.NewEncoder(rw).Encode(map[string]any{"path": q.Path, "query": q.Query, "method": q.Method, "header": q.Header})
	})
	for name, c := range map[string]struct {
		below string
		code  int
		field string
		path  string
	}{
		"a path":                       {"/rows/1", 200, "", "/rows/1"},
		"an escaped slash":             {"/a%2Fb", 200, "", "/a/b"},
		"a segment that leads up":      {"/a/..%2f..%2fb", 400, "path", ""},
		"a segment that leads nowhere": {"/a%2F.%2Fb", 400, "path", ""},
		"a control character":          {"/a%00b", 400, "path", ""},
		"a line break":                 {"/a%0D%0AX:%20y", 400, "path", ""},
		"bytes that are no text":       {"/%ff", 400, "path", ""},
		"a path that is too long":      {"/" + strings.Repeat("x", 5000), 400, "path", ""},
		"a query":                      {"?limit=3&a=%0A", 200, "", ""},
		"a query that can't be read":   {"?a=%zz", 400, "query", ""},
		"a query that is too long":     {"?a=" + strings.Repeat("x", 9000), 400, "query", ""},
		"a token in the query":         {"?access_token=secret", 400, "access_token", ""},
	} {
		t.Run(name, func(t *testing.T) {
			at := g
			at.path += c.below
			req := r.request(http.MethodGet, at)
			res, err := r.hc.Transport.RoundTrip(req) // no redirect is followed
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			var doc struct {
				problem.Document
				Path string
			}
			_ = json.NewDecoder(res.Body).Decode(&doc)
			t.Logf("%d %+v %s", res.StatusCode, doc, res.Header.Get("Location"))
			if res.StatusCode != c.code || doc.Field != c.field || (c.path != "" && doc.Path != c.path) {
				t.Errorf("%d %+v", res.StatusCode, doc)
			}
		})
	}
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodPatch, http.MethodOptions, "PURGE"} {
		if a := r.do(r.request(method, g)); a.code != 404 {
			t.Errorf("%s: %d", method, a.code)
		}
	}
	before := w.server.calls.Load()
	hop := []string{"Connection", "Upgrade, X-Hop", "X-Hop", "1", "Upgrade", "websocket", "Te", "trailers", "Proxy-Authorization", "Basic x", "Forwarded", "for=1", "Cookie", "a=b", "Origin", "x", "Accept-Language", "de", "Accept-Encoding", "identity"}
	if a := r.get(g, hop...); a.code != 200 || strings.Contains(string(a.body), "Hop") {
		t.Errorf("%d %s", a.code, a.body)
	}
	w.server.mu.Lock()
	defer w.server.mu.Unlock()
	if diff := cmp.Diff(map[string][]string{"Accept-Language": {"de"}, "Accept-Encoding": {"identity"}}, w.server.last.Header); diff != "" || w.server.calls.Load() == before {
		t.Errorf("header (-want +got):\n%s", diff)
	}
}
