package direct

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must come.
const patience = time.Minute

func newTransport(t *testing.T) *Transport {
	t.Helper()
	next := &http.Transport{}
	d := &Transport{Next: next}
	t.Cleanup(d.CloseIdleConnections)
	return d
}

func post(t *testing.T, ctx context.Context, to, body string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, to, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// read returns the status and the body of an answer.
func read(res *http.Response, err error) (string, error) {
	if err != nil {
		return "", err
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	return fmt.Sprint(res.StatusCode, " ", string(b)), err
}

func TestAnswersAreThoseOfNetHTTP(t *testing.T) {
	var conns atomic.Int64
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Seen", r.Method+" "+r.RequestURI+" "+r.Host+" "+r.Header.Get("Ce-Id")+" "+string(b))
		switch r.URL.Path {
		case "/accepted":
			w.WriteHeader(http.StatusAccepted)
		case "/none":
			w.WriteHeader(http.StatusNoContent)
		case "/early":
			w.WriteHeader(http.StatusEarlyHints)
			_, _ = io.WriteString(w, "late")
		case "/pieces":
			for range 3 {
				_, _ = io.WriteString(w, "piece ")
				_ = http.NewResponseController(w).Flush()
			}
		case "/large":
			_, _ = io.WriteString(w, strings.Repeat("x", 3*maxWhole))
		case "/last":
			w.Header().Set("Connection", "close")
			_, _ = io.WriteString(w, "the last")
		case "/moved":
			http.Redirect(w, r, "/accepted", http.StatusFound)
		default:
			http.Error(w, "no such thing", http.StatusNotFound)
		}
	}))
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			conns.Add(1)
		}
	}
	srv.Start()
	defer srv.Close()
	theirs := &http.Transport{}
	defer theirs.CloseIdleConnections()
	ours := newTransport(t)
	for _, path := range []string{"/accepted", "/none", "/early", "/pieces", "/large", "/accepted?a=b%20c", "/last", "/moved", "/other", "/accepted"} {
		seen := func(rt http.RoundTripper) string {
			r := post(t, t.Context(), srv.URL+path, "the body")
			r.Header["Ce-Id"] = []string{"id 1"}
			res, err := rt.RoundTrip(r)
			if err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			head := res.Header.Get("X-Seen") + res.Header.Get("Location")
			body, err := read(res, nil)
			if err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			return head + "\n" + body
		}
		want := seen(theirs)
		before := conns.Load()
		if diff := cmp.Diff(want, seen(ours)); diff != "" {
			t.Errorf("%s (-net/http +direct):\n%s", path, diff)
		}
		// The connection is kept, but after what ends it and after a body that nobody may want to read to its end.
		if n := conns.Load() - before; n > 0 && path != "/accepted" && path != "/accepted?a=b%20c" && path != "/moved" {
			t.Errorf("%s: on a new connection", path)
		}
	}
}

func TestManyAtOnceKeepTheirConnections(t *testing.T) {
	var conns atomic.Int64
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }))
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			conns.Add(1)
		}
	}
	srv.Start()
	defer srv.Close()
	d := newTransport(t)
	const hands, each = 8, 50
	var all sync.WaitGroup
	for h := range hands {
		all.Go(func() {
			for i := range each {
				body := fmt.Sprintf("%d of %d", i, h)
				got, err := read(d.RoundTrip(post(t, t.Context(), srv.URL, body)))
				if err != nil || got != "200 "+body {
					t.Errorf("%q, %v", got, err)
				}
			}
		})
	}
	all.Wait()
	if n := conns.Load(); n > hands {
		t.Errorf("%d connections for %d at once", n, hands)
	}
}

// script is a server that answers the requests of each connection with the given bytes, one after the other, and then closes it.
func script(t *testing.T, answers ...[]string) (addr string, requests *atomic.Int64) {
	t.Helper()
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	requests = &atomic.Int64{}
	var all sync.WaitGroup
	all.Go(func() {
		defer ln.Close() // who comes later is refused
		for _, own := range answers {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer c.Close()
				in := bufio.NewReader(c)
				for _, answer := range own {
					r, err := http.ReadRequest(in)
					if err != nil {
						return
					}
					_, _ = io.Copy(io.Discard, r.Body)
					requests.Add(1)
					if _, err := io.WriteString(c, answer); err != nil {
						return
					}
				}
			})
		}
	})
	t.Cleanup(func() {
		ln.Close()
		all.Wait()
	})
	return "http://" + ln.Addr().String() + "/", requests
}

const ok = "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"

// gone waits until the other side has closed the kept connection.
func gone(t *testing.T, d *Transport) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, all := range d.idle {
		for _, c := range all {
			_ = c.net.SetReadDeadline(time.Now().Add(patience))
			if _, err := c.net.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
				t.Fatalf("the other side has not closed: %v", err)
			}
		}
	}
}

func TestAKeptConnectionThatIsClosedIsReplaced(t *testing.T) {
	addr, requests := script(t, []string{ok}, []string{ok})
	d := newTransport(t)
	for i := range 2 {
		if got, err := read(d.RoundTrip(post(t, t.Context(), addr, "body"))); err != nil || got != "202 " {
			t.Fatalf("%d: %q, %v", i, got, err)
		}
		gone(t, d)
	}
	if n := requests.Load(); n != 2 {
		t.Errorf("%d requests came, want 2", n)
	}
}

func TestAnswersThatAreNone(t *testing.T) {
	for name, answer := range map[string]string{
		"nothing": "", "garbage": "what?\r\n\r\n", "half a header": "HTTP/1.1 202 Acc", "half a body": "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345",
		"nothing but hints": strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 20), "a header without end": "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", maxHeader) + "\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			addr, requests := script(t, []string{ok, answer})
			d := newTransport(t)
			if _, err := read(d.RoundTrip(post(t, t.Context(), addr, "body"))); err != nil {
				t.Fatal(err)
			}
			if got, err := read(d.RoundTrip(post(t, t.Context(), addr, "body"))); err == nil { // tried again, it is refused a connection
				t.Errorf("answered %q", got)
			}
			if n := requests.Load(); n != 2 {
				t.Errorf("%d requests came, want 2", n)
			}
			if len(d.idle[strings.Trim(addr, "htp:/")]) > 0 {
				t.Error("the connection is kept")
			}
		})
	}
}

func TestWhatComesBehindAnAnswerIsNotTakenForTheNext(t *testing.T) {
	addr, _ := script(t, []string{ok + "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"}, []string{ok})
	d := newTransport(t)
	for range 2 {
		if got, err := read(d.RoundTrip(post(t, t.Context(), addr, "body"))); err != nil || got != "202 " {
			t.Fatalf("%q, %v", got, err)
		}
	}
}

func TestWhoWaitsIsFreedWhenItsContextEnds(t *testing.T) {
	came, free := make(chan struct{}), make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		came <- struct{}{}
		<-free
	}))
	defer srv.Close()
	defer close(free)
	d := newTransport(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	r := post(t, ctx, srv.URL, "body")
	go func() {
		_, err := read(d.RoundTrip(r))
		ended <- err
	}()
	<-came
	cancel()
	select {
	case err := <-ended:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
	case <-time.After(patience):
		t.Fatal("it waits on")
	}
	ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	r = post(t, ctx, srv.URL, "body")
	go func() {
		_, err := read(d.RoundTrip(r))
		ended <- err
	}()
	<-came
	select {
	case err := <-ended:
		if err == nil {
			t.Error("answered")
		}
	case <-time.After(patience):
		t.Fatal("it waits on")
	}
}

func TestOtherRequestsGoToNext(t *testing.T) {
	var asked atomic.Int64
	d := &Transport{
		Next: roundTripper(func(*http.Request) (*http.Response, error) {
			asked.Add(1)
			return &http.Response{StatusCode: http.StatusTeapot, Body: http.NoBody}, nil
		}),
		Proxy: func(r *http.Request) (*url.URL, error) {
			if r.URL.Hostname() == "far.example" {
				return url.Parse("http://proxy.example")
			}
			return nil, nil
		},
		Dial: func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("dialled") },
	}
	once := post(t, t.Context(), "http://near.example", "body")
	once.GetBody = nil
	upgrade := post(t, t.Context(), "http://near.example", "body")
	upgrade.Header.Set("Upgrade", "websocket")
	for name, r := range map[string]*http.Request{
		"https": post(t, t.Context(), "https://near.example", "body"), "a proxy": post(t, t.Context(), "http://far.example", "body"),
		"a body that can be had once": once, "an upgrade": upgrade,
	} {
		before := asked.Load()
		if got, err := read(d.RoundTrip(r)); err != nil || asked.Load() != before+1 {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	if _, err := read(d.RoundTrip(post(t, t.Context(), "http://near.example", "body"))); err == nil || !strings.Contains(err.Error(), "dialled") {
		t.Errorf("near.example: %v", err)
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestWhatNobodyUsesIsClosed(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer srv.Close()
	d := newTransport(t)
	for range 2 { // two, one after the other: they share the connection
		if _, err := read(d.RoundTrip(post(t, t.Context(), srv.URL, "body"))); err != nil {
			t.Fatal(err)
		}
	}
	kept := func() (n int) {
		d.mu.Lock()
		defer d.mu.Unlock()
		for _, all := range d.idle {
			n += len(all)
		}
		return n
	}
	d.closeOld()
	if n := kept(); n != 1 {
		t.Fatalf("%d connections are kept, want 1", n)
	}
	d.mu.Lock()
	for _, all := range d.idle {
		all[0].since = time.Now().Add(-idleTime)
	}
	d.mu.Unlock()
	d.closeOld()
	if n := kept(); n != 0 || d.sweep != nil {
		t.Errorf("%d connections are kept, want none, and nothing that looks after them", n)
	}
}

func BenchmarkPost(b *testing.B) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) }))
	defer srv.Close()
	next := &http.Transport{MaxIdleConnsPerHost: 64}
	d := &Transport{Next: next}
	defer d.CloseIdleConnections()
	for name, rt := range map[string]http.RoundTripper{"direct": d, "net/http": next} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r, _ := http.NewRequestWithContext(b.Context(), http.MethodPost, srv.URL, strings.NewReader(`{"a":"b"}`))
				if got, err := read(rt.RoundTrip(r)); err != nil || got != "202 " {
					b.Fatal(got, err)
				}
			}
		})
	}
}
