package gateway_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidegate/tidegate/dps-gateway/internal/gateway"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/problem"
)

func reference(q *gatewayapi.DataRequest) gatewayapi.DataReference {
	return gatewayapi.DataReference{
		Bucket: q.Dataset.Bucket, Key: q.Dataset.Key, StoreETag: q.Dataset.StoreETag, Size: q.Dataset.Size, SHA256: q.Dataset.SHA256,
		ContentType: q.Dataset.ContentType,
	}
}

func TestManyRequestsWakeADataServerOnce(t *testing.T) {
	w := newWorld(t)
	r := w.start(nil)
	g := r.startFlow("provider", r.publish("provider", "a", []byte("cold")))
	warm := make(chan struct{})
	w.server.answers(func(rw http.ResponseWriter, _ *http.Request, q *gatewayapi.DataRequest) {
		<-warm
		rw.Header().Set("Content-Type", gatewayapi.ReferenceContentType)
		_ = json.NewEncoder(rw).Encode(reference(q))
	})
	var all sync.WaitGroup
	for range 40 {
		all.Go(func() {
			if a := r.get(g); a.code != 200 || string(a.body) != "cold" {
				t.Errorf("%d %q", a.code, a.body)
			}
		})
	}
	within(t, "the data server is asked", func() bool { return w.server.calls.Load() > 0 })
	time.AfterFunc(100*time.Millisecond, func() { close(warm) }) // the others come meanwhile
	all.Wait()
	if n := w.server.calls.Load(); n != 1 {
		t.Errorf("the data server was asked %d times", n)
	}
}

func TestAnAnswerByValuePassesWithoutWhatIsNotMeantForTheConsumer(t *testing.T) {
	w := newWorld(t)
	r := w.start(nil)
	g := r.startFlow("provider", r.publish("provider", "a", []byte("a")))
	var asked []gatewayapi.DataRequest
	var mu sync.Mutex
	w.server.answers(func(rw http.ResponseWriter, req *http.Request, q *gatewayapi.DataRequest) {
		mu.Lock()
		asked = append(asked, *q)
		mu.Unlock()
		if req.Header.Get("Authorization") != "Bearer "+w.secret.Value() {
			t.Errorf("the call is not authenticated: %q", req.Header.Get("Authorization"))
		}
		h := rw.Header()
		h.Set("Content-Type", "text/html")
		h.Set("ETag", `"v1"`)
		h.Set("Set-Cookie", "a=b")
		h.Set("Server", "secret")
		h.Set("X-Internal", "secret")
		_, _ = io.WriteString(rw, "<b>"+q.Path+"?"+q.Query+"</b>")
	})
	below := g
	below.path += "/rows/1%2F2?limit=3"
	a := r.get(below, "Accept", "text/html", "If-None-Match", `"v0"`, "Range", "bytes=0-", "Cookie", "x", "X-Forwarded-For", "1.2.3.4", "Te", "trailers")
	if a.code != 200 || string(a.body) != "<b>/rows/1/2?limit=3</b>" {
		t.Errorf("%d %q", a.code, a.body)
	}
	for name, want := range map[string]string{
		"Content-Type": "text/html", "Etag": `"v1"`, "Set-Cookie": "", "Server": "", "X-Internal": "",
		"X-Content-Type-Options": "nosniff", "Content-Disposition": "attachment",
	} {
		if got := a.header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	want := map[string][]string{"Accept": {"text/html"}, "If-None-Match": {`"v0"`}, "Range": {"bytes=0-"}}
	if diff := cmp.Diff(want, asked[0].Header); diff != "" {
		t.Errorf("the header that the data server sees (-want +got):\n%s", diff)
	}
	if b, _ := json.Marshal(asked[0]); strings.Contains(string(b), g.token) {
		t.Error("the data server was given the token")
	}
	if a := r.do(r.request(http.MethodHead, below)); a.code != 200 || len(a.body) != 0 || a.header.Get("Etag") != `"v1"` {
		t.Errorf("HEAD: %d %v %q", a.code, a.header, a.body)
	}
}

func TestAFailureSaysWhichSideFailed(t *testing.T) {
	w := newWorld(t)
	r := w.start(nil)
	g := r.startFlow("provider", r.publish("provider", "a", []byte("a")))
	const tooSlow = "it is too slow"
	status := func(code int, retry string) func(http.ResponseWriter, *http.Request, *gatewayapi.DataRequest) {
		return func(rw http.ResponseWriter, _ *http.Request, _ *gatewayapi.DataRequest) {
			if retry != "" {
				rw.Header().Set("Retry-After", retry)
			}
			http.Error(rw, "internal.host:1234 exploded", code)
		}
	}
	refer := func(change func(*gatewayapi.DataReference)) func(http.ResponseWriter, *http.Request, *gatewayapi.DataRequest) {
		return func(rw http.ResponseWriter, _ *http.Request, q *gatewayapi.DataRequest) {
			ref := reference(q)
			change(&ref)
			rw.Header().Set("Content-Type", gatewayapi.ReferenceContentType+"; charset=utf-8")
			_ = json.NewEncoder(rw).Encode(ref)
		}
	}
	for name, c := range map[string]struct {
		answer func(http.ResponseWriter, *http.Request, *gatewayapi.DataRequest)
		code   int
		detail string
		retry  string
	}{
		"the data server crashed":      {status(500, ""), 502, "the provider's data server failed", ""},
		"it refuses our secret":        {status(401, ""), 502, "the provider's data server failed", ""},
		"it is overloaded":             {status(429, "7"), 503, "the provider's data server can't answer now", "7"},
		"it is not there yet":          {status(503, ""), 503, "the provider's data server can't answer now", "1"},
		"its back end is slow":         {status(504, ""), 504, "the provider's data server did not get the data in time", ""},
		"it knows no such thing":       {status(404, ""), 404, "there is no such data", ""},
		"it does not take the request": {status(400, ""), 400, "the provider's data server does not take this request", ""},
		tooSlow: {
			func(_ http.ResponseWriter, req *http.Request, _ *gatewayapi.DataRequest) { <-req.Context().Done() }, 504,
			"the provider's data server did not answer in time", "",
		},
		"it hangs up":         {func(http.ResponseWriter, *http.Request, *gatewayapi.DataRequest) { panic(http.ErrAbortHandler) }, 502, "the provider's data server can't be reached", ""},
		"no reference at all": {refer(func(d *gatewayapi.DataReference) { *d = gatewayapi.DataReference{} }), 502, "the provider's data server answered with a reference that is none", ""},
		"a bucket of nobody":  {refer(func(d *gatewayapi.DataReference) { d.Bucket = "etc" }), 502, "the provider's data server named a bucket that is none of the provider's", ""},
		"a key outside":       {refer(func(d *gatewayapi.DataReference) { d.Key = "../../secrets/internal" }), 502, "the provider's data server named an object that is none", ""},
		"an object that is gone": {
			refer(func(d *gatewayapi.DataReference) { d.Key = "gone" }), 503,
			"the provider is replacing the data by another version", "1",
		},
		"another size": {refer(func(d *gatewayapi.DataReference) { d.Size++ }), 503, "the provider is replacing the data by another version", "1"},
	} {
		t.Run(name, func(t *testing.T) {
			w.server.answers(c.answer)
			r := w.start(func(c *gateway.Config) { // one that has seen no failure yet
				if name == tooSlow {
					c.DataWait = 300 * time.Millisecond
				}
			})
			g := g
			g.path += "?case=" + strings.ReplaceAll(name, " ", "-") // asked anew each time
			a := r.get(g)
			var doc problem.Document
			if err := json.Unmarshal(a.body, &doc); err != nil {
				t.Fatalf("%d %s", a.code, a.body)
			}
			if a.code != c.code || (c.detail != "" && doc.Detail != c.detail) || a.header.Get("Retry-After") != c.retry {
				t.Errorf("%d %q, Retry-After %q", a.code, doc.Detail, a.header.Get("Retry-After"))
			}
			if strings.Contains(string(a.body), "exploded") || strings.Contains(string(a.body), w.dir) {
				t.Errorf("what is inside is told: %s", a.body)
			}
		})
	}
}

func TestABrokenAnswerByValueIsSeenAsBroken(t *testing.T) {
	w := newWorld(t)
	r := w.start(nil)
	g := r.startFlow("provider", r.publish("provider", "a", []byte("a")))
	for name, length := range map[string]string{"of known length": "1000", "of unknown length": ""} {
		t.Run(name, func(t *testing.T) {
			w.server.answers(func(rw http.ResponseWriter, _ *http.Request, _ *gatewayapi.DataRequest) {
				if length != "" {
					rw.Header().Set("Content-Length", length)
				}
				_, _ = io.WriteString(rw, "the first half")
				_ = http.NewResponseController(rw).Flush()
				panic(http.ErrAbortHandler)
			})
			res, err := r.hc.Do(r.request(http.MethodGet, g))
			if err != nil {
				return // broken before the header: as good
			}
			defer res.Body.Close()
			if b, err := io.ReadAll(res.Body); err == nil {
				t.Errorf("a whole body: %q", b)
			}
		})
	}
}

func TestATenantsLimitsHold(t *testing.T) {
	w := newWorld(t)
	w.tenant("provider", "limits:\n  concurrentStreams: 2\n  bytesPerSecond: 4194304\n")
	w.tenant("other", "limits:\n  requestsPerSecond: 3\n")
	r := w.start(nil)
	g := r.startFlow("provider", r.publish("provider", "big", make([]byte, 64<<20)))
	first, _ := slowly(t, r, g)
	second, _ := slowly(t, r, g)
	refused := r.get(g)
	if refused.code != 429 || refused.header.Get("Retry-After") != "1" {
		t.Errorf("a third stream: %d", refused.code)
	}
	began := time.Now()
	if _, err := io.CopyN(io.Discard, first.Body, 8<<20); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took < 500*time.Millisecond {
		t.Errorf("8 MiB at 4 MiB/s came in %v", took)
	}
	first.Body.Close()
	second.Body.Close()
	within(t, "room again", func() bool { return r.do(r.request(http.MethodHead, g)).code == 200 })

	o := r.startFlow("other", r.publish("other", "a", []byte("a")))
	codes := map[int]int{}
	for range 10 {
		codes[r.get(o).code]++
	}
	if codes[200] < 3 || codes[429] < 1 {
		t.Errorf("10 requests at 3 a second: %v", codes)
	}
}
