// Package functiontest runs a function in a test as it runs in production: a Service on a loopback port, called over HTTP
// with the internal token, and a broker's ingress that records what the function publishes.
package functiontest

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/shared/function"
)

// Token is the internal token of the kit.
const Token = "functiontest-internal-token"

// waitFor bounds every wait of the kit.
const waitFor = 10 * time.Second

// Function is a running function and the broker it publishes to.
type Function struct {
	Service *function.Service
	URL     string // its base URL, without a slash at the end
	Sink    *Sink

	stop    context.CancelFunc
	stopped chan error
	once    sync.Once
	err     error
}

// Start runs a service whose routes setup adds, until the test ends. gatewayURL is the gateway that it is to call; "" if it calls
// none. tenantsDir may be "" for a function that reads none. edit may be nil, or change the configuration.
func Start(tb testing.TB, gatewayURL, tenantsDir string, edit func(*function.Config), setup func(*function.Service)) *Function {
	tb.Helper()
	if gatewayURL == "" {
		gatewayURL = "http://127.0.0.1:1" // nothing listens there
	}
	if tenantsDir == "" {
		tenantsDir = tb.TempDir()
	}
	f := &Function{Sink: NewSink(tb), stopped: make(chan error, 1)}
	cfg := function.Config{
		Host: "127.0.0.1", Sink: f.Sink.URL, GatewayURL: gatewayURL, TokenFile: TokenFile(tb), TenantsDir: tenantsDir,
		TenantsEvery: time.Second, MaxEventBytes: 1 << 20, Deadline: waitFor, DrainTime: 2 * time.Second, LogLevel: "debug",
	}
	if edit != nil {
		edit(&cfg)
	}
	svc, err := function.New(tb.Name(), cfg, zerolog.New(zerolog.NewTestWriter(tb)).Level(zerolog.InfoLevel))
	if err != nil {
		tb.Fatalf("making the service: %v", err)
	}
	f.Service = svc
	setup(svc)

	var lc net.ListenConfig
	ln, err := lc.Listen(tb.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatalf("listening: %v", err)
	}
	f.URL = "http://" + ln.Addr().String()
	ctx, stop := context.WithCancel(context.Background())
	f.stop = stop
	go func() { f.stopped <- svc.Serve(ctx, ln) }()
	tb.Cleanup(func() {
		if err := f.Stop(); err != nil {
			tb.Errorf("the function ended with: %v", err)
		}
	})
	return f
}

// Stop tells the function to stop, as SIGTERM does, and returns when it has drained. Calling it again is harmless.
func (f *Function) Stop() error {
	f.once.Do(func() {
		f.stop()
		f.err = <-f.stopped
	})
	return f.err
}

// Send delivers an event as a broker does and returns the status and the reply; nil if there was none.
func (f *Function) Send(tb testing.TB, e *event.Event) (int, *event.Event) {
	tb.Helper()
	req, err := cehttp.NewHTTPRequestFromEvent(tb.Context(), f.URL+"/", *e)
	if err != nil {
		tb.Fatalf("writing the event: %v", err)
	}
	res := f.Do(tb, req)
	defer func() { _ = res.Body.Close() }()
	if res.Header.Get("Ce-Specversion") == "" && res.Header.Get("Content-Type") != event.ApplicationCloudEventsJSON {
		body, _ := io.ReadAll(res.Body)
		if res.StatusCode >= 300 {
			tb.Logf("the function answered %d: %s", res.StatusCode, body)
		}
		return res.StatusCode, nil
	}
	reply, err := cehttp.NewEventFromHTTPResponse(res)
	if err != nil {
		tb.Fatalf("the reply is no event: %v", err)
	}
	return res.StatusCode, reply
}

// Do sends a request with the internal token.
func (f *Function) Do(tb testing.TB, req *http.Request) *http.Response {
	tb.Helper()
	req.Header.Set("Authorization", "Bearer "+Token)
	client := &http.Client{Timeout: waitFor, Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		tb.Fatalf("%s %s: %v", req.Method, req.URL, err)
	}
	return res
}

// TokenFile writes the internal token into a file.
func TokenFile(tb testing.TB) string {
	tb.Helper()
	file := filepath.Join(tb.TempDir(), "internal-token")
	if err := os.WriteFile(file, []byte(Token+"\n"), 0o600); err != nil {
		tb.Fatalf("writing the token: %v", err)
	}
	return file
}

// Sink is a broker's ingress that records events. It takes only requests with the internal token.
type Sink struct {
	URL string

	mu      sync.Mutex
	events  []event.Event
	answers []int
	tries   int
	changed chan struct{}
}

// NewSink starts a sink that lives as long as the test.
func NewSink(tb testing.TB) *Sink {
	tb.Helper()
	s := &Sink{changed: make(chan struct{})}
	server := httptest.NewServer(http.HandlerFunc(s.serve))
	tb.Cleanup(server.Close)
	s.URL = server.URL + "/default/default"
	return s
}

// Answer makes the sink answer its next requests with these statuses, in order, and record nothing for those that are no
// success. After them it answers 202 again.
func (s *Sink) Answer(codes ...int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers = append(s.answers, codes...)
}

// Tries is the number of requests so far.
func (s *Sink) Tries() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tries
}

// Events returns what was recorded so far, in the order of arrival.
func (s *Sink) Events() []event.Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]event.Event(nil), s.events...)
}

// Wait waits until n events have been recorded and returns them all; the test fails if they don't come.
func (s *Sink) Wait(tb testing.TB, n int) []event.Event {
	tb.Helper()
	timeout := time.NewTimer(waitFor)
	defer timeout.Stop()
	for {
		s.mu.Lock()
		events, changed := append([]event.Event(nil), s.events...), s.changed
		s.mu.Unlock()
		if len(events) >= n {
			return events
		}
		select {
		case <-changed:
		case <-timeout.C:
			tb.Fatalf("the sink got %d events, want %d: %v", len(events), n, events)
		}
	}
}

func (s *Sink) serve(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "Bearer "+Token {
		http.Error(w, "no token", http.StatusUnauthorized)
		return
	}
	e, err := cehttp.NewEventFromHTTPRequest(r)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tries++
	if len(s.answers) > 0 {
		code := s.answers[0]
		s.answers = s.answers[1:]
		if code < 200 || code > 299 {
			w.WriteHeader(code)
			return
		}
	}
	if err != nil || e.Validate() != nil {
		http.Error(w, "no event", http.StatusBadRequest)
		return
	}
	s.events = append(s.events, *e)
	close(s.changed)
	s.changed = make(chan struct{})
	w.WriteHeader(http.StatusAccepted)
}
