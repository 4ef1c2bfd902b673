package function_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"github.com/tidegate/tidegate/shared/function"
	"github.com/tidegate/tidegate/shared/function/functiontest"
	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/telemetry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestStatusTellsTheBrokerWhetherARepeatCanHelp(t *testing.T) {
	f := startEcho(t, nil)
	tests := map[string]int{
		"reply": 200, "silent-1": 204, "invalid-1": 400, "notfound-1": 422, "stale-1": 422, "unavailable-1": 503, "panic-1": 503, "plain-1": 503, "badreply-1": 400,
	}
	for id, want := range tests {
		if got, _ := f.Send(t, newEvent(t, id)); got != want {
			t.Errorf("%s: answered %d, want %d", id, got, want)
		}
	}
}

func TestFailuresDoNotLeak(t *testing.T) {
	f := startEcho(t, nil)
	for _, id := range []string{"plain-1", "panic-1"} {
		res, body := post(t, f, `{}`, "Ce-Specversion", "1.0", "Ce-Id", id, "Ce-Type", created, "Ce-Source", "/s")
		if strings.Contains(body, "secret") || strings.Contains(body, "defect") || !strings.Contains(body, `"id":"`) {
			t.Errorf("%s: the answer is %s, want an id and no detail", id, body)
		}
		if res.Header.Get("Retry-After") == "" {
			t.Errorf("%s: no Retry-After", id)
		}
	}
	res, _ := post(t, f, `{}`, "Ce-Specversion", "1.0", "Ce-Id", "unavailable-1", "Ce-Type", created, "Ce-Source", "/s")
	if got := res.Header.Get("Retry-After"); got != "7" {
		t.Errorf("Retry-After is %q, want the handler's 7", got)
	}
}

func TestReplyCarriesParticipantContextAndTrace(t *testing.T) {
	const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	f := startEcho(t, nil)

	e := newEvent(t, "reply")
	e.SetExtension("traceparent", parent)
	_, reply := f.Send(t, e)
	if reply == nil {
		t.Fatal("no reply")
	}
	if got := reply.Extensions()["participantcontextid"]; got != "acme" {
		t.Errorf("participantcontextid is %v, want that of the event", got)
	}
	got, _ := reply.Extensions()["traceparent"].(string)
	trace, ok := telemetry.Parse(got)
	if !ok || trace.TraceID != "0af7651916cd43dd8448eb211c80319c" || trace.SpanID == "b7ad6b7169203331" {
		t.Errorf("traceparent is %q, want another step of %s", got, parent)
	}

	// The header of the delivery is nearer than the extension.
	body, _ := json.Marshal(e)
	res, _ := post(t, f, string(body), "Content-Type", event.ApplicationCloudEventsJSON,
		"Traceparent", "00-11111111111111111111111111111111-2222222222222222-00", "Tracestate", "a=b")
	if got := res.Header.Get("Ce-Traceparent"); !strings.HasPrefix(got, "00-11111111111111111111111111111111-") || !strings.HasSuffix(got, "-00") {
		t.Errorf("traceparent is %q, want that of the header", got)
	}
	if got := res.Header.Get("Ce-Tracestate"); got != "a=b" {
		t.Errorf("tracestate is %q", got)
	}
}

func TestReplyWithAnUmlautArrivesWhole(t *testing.T) {
	f := startEcho(t, nil)
	for _, subject := range []string{"in/ä b.csv", "in/100%25.csv", `in/"q".csv`, "in/日本.csv"} {
		e := newEvent(t, "reply")
		e.SetSubject(subject)
		body, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		res, got := post(t, f, string(body), "Content-Type", event.ApplicationCloudEventsJSON)
		var reply event.Event
		if err := json.Unmarshal([]byte(got), &reply); err != nil || reply.Subject() != subject {
			t.Errorf("the reply about %q is %s %s, %v", subject, res.Header.Get("Content-Type"), got, err)
		}
	}
}

func TestCallersWithoutTheTokenGetNothing(t *testing.T) {
	ran := false
	f := functiontest.Start(t, "", "", nil, func(s *function.Service) {
		s.HandleEvents(func(context.Context, *event.Event) (*event.Event, error) { ran = true; return nil, nil })
		s.Handle("POST /decide", http.HandlerFunc(func(http.ResponseWriter, *http.Request) { ran = true }))
		s.HandleOpen("POST /hook", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) }))
	})
	tests := []struct {
		path, authorization string
		want                int
	}{
		{"/", "", 401},
		{"/", "Bearer wrong-wrong-wrong-wrong", 401},
		{"/", "Basic " + functiontest.Token, 401},
		{"/", functiontest.Token, 401},
		{"/decide", "", 401},
		{"/hook", "", 202},
		{"/nowhere", "Bearer " + functiontest.Token, 404},
	}
	for _, tt := range tests {
		req, err := http.NewRequest(http.MethodPost, f.URL+tt.path, strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", tt.authorization)
		client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
		res.Body.Close()
		if res.StatusCode != tt.want {
			t.Errorf("%s with %q: %d, want %d", tt.path, tt.authorization, res.StatusCode, tt.want)
		}
	}
	if ran {
		t.Error("a handler ran without the token")
	}
}

func TestHandlerEndsAtTheDeadline(t *testing.T) {
	f := functiontest.Start(t, "", "", func(c *function.Config) { c.Deadline = 50 * time.Millisecond }, func(s *function.Service) {
		s.HandleEvents(func(ctx context.Context, _ *event.Event) (*event.Event, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		})
	})
	start := time.Now()
	if got, _ := f.Send(t, newEvent(t, "1")); got != http.StatusServiceUnavailable {
		t.Errorf("answered %d, want 503", got)
	}
	if d := time.Since(start); d > 20*time.Second {
		t.Errorf("took %v", d)
	}
}

func TestBatchComesAgainIfOneOfItFailsInPassing(t *testing.T) {
	var mu sync.Mutex
	var handled []string
	f := functiontest.Start(t, "", "", nil, func(s *function.Service) {
		s.HandleEvents(func(ctx context.Context, e *event.Event) (*event.Event, error) {
			mu.Lock()
			handled = append(handled, e.ID())
			mu.Unlock()
			return echo(ctx, e)
		})
	})
	send := func(ids ...string) int {
		t.Helper()
		var batch []event.Event
		for _, id := range ids {
			batch = append(batch, *newEvent(t, id))
		}
		b, err := json.Marshal(batch)
		if err != nil {
			t.Fatal(err)
		}
		res, _ := post(t, f, string(b), "Content-Type", event.ApplicationCloudEventsBatchJSON)
		return res.StatusCode
	}
	if got := send("invalid-1", "unavailable-2", "reply-3", "notfound-4"); got != 503 {
		t.Errorf("answered %d, want the worst: 503", got)
	}
	if got := send("invalid-5", "silent-6"); got != 400 {
		t.Errorf("answered %d, want 400", got)
	}
	if diff := cmp.Diff([]string{"invalid-1", "unavailable-2", "reply-3", "notfound-4", "invalid-5", "silent-6"}, handled); diff != "" {
		t.Errorf("handled (-want +got):\n%s", diff)
	}
	if events := f.Sink.Wait(t, 1); events[0].ID() != "reply-to-reply-3" {
		t.Errorf("published %v", events)
	}
}

func TestOneLogLineForEachEvent(t *testing.T) {
	var out lockedBuffer
	cfg := function.Config{
		Host: "127.0.0.1", GatewayURL: "http://127.0.0.1:1", TokenFile: functiontest.TokenFile(t), TenantsDir: t.TempDir(),
		TenantsEvery: time.Second, MaxEventBytes: 1 << 20, Deadline: time.Second, DrainTime: time.Second, LogLevel: "info",
	}
	svc, err := function.New("echo", cfg, zerolog.New(&out).Level(zerolog.InfoLevel))
	if err != nil {
		t.Fatal(err)
	}
	svc.HandleEvents(echo)
	url, stop := serve(t, svc)
	for _, id := range []string{"silent-1", "invalid-2", "panic-3"} {
		e := newEvent(t, id)
		e.SetType("io.tidegate.dataflow.started.v1")
		e.SetSubject("flow-7")
		(&functiontest.Function{URL: url}).Send(t, e)
	}
	stop()
	lines := map[string]map[string]any{}
	for line := range strings.Lines(out.String()) {
		var l map[string]any
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if id, ok := l["ce_id"].(string); ok {
			if lines[id] != nil {
				t.Errorf("a second line for %s: %s", id, line)
			}
			lines[id] = l
		}
	}
	for id, want := range map[string]string{"silent-1": "done", "invalid-2": "refused", "panic-3": "failed"} {
		l := lines[id]
		if l["outcome"] != want || l["process_id"] != "flow-7" || l["participant_context_id"] != "acme" || l["ce_type"] == nil ||
			l["ce_source"] == nil || l["duration"] == nil || l["function"] != "echo" || len(l["trace_id"].(string)) != 32 {
			t.Errorf("the line of %s is %v", id, l)
		}
	}
	if s, _ := lines["panic-3"]["error"].(string); !strings.Contains(s, "a defect") || !strings.Contains(s, "receive_test.go") {
		t.Errorf("the line of a panic has no stack: %v", s)
	}
}

func TestRunSaysWhichPortIsInUse(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	cfg := function.Config{
		Host: "127.0.0.1", Port: ln.Addr().(*net.TCPAddr).Port, GatewayURL: "http://127.0.0.1:1", TokenFile: functiontest.TokenFile(t),
		TenantsDir: t.TempDir(), TenantsEvery: time.Second, MaxEventBytes: 1, Deadline: time.Second, LogLevel: "info",
	}
	svc, err := function.New("x", cfg, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	err = svc.Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), ln.Addr().String()) || !strings.Contains(err.Error(), "PORT") || strings.Contains(err.Error(), "\n") {
		t.Errorf("Run on a port in use: %v, want one line with the address and the variable", err)
	}
}

func TestNewRefusesAMissingTokenFile(t *testing.T) {
	cfg := function.Config{GatewayURL: "http://127.0.0.1:1", TokenFile: "/nowhere/token", TenantsDir: ".", TenantsEvery: time.Second, MaxEventBytes: 1, Deadline: 1, LogLevel: "info"}
	_, err := function.New("x", cfg, zerolog.Nop())
	if !problem.Is(err, problem.Invalid) || !strings.Contains(err.Error(), "INTERNAL_TOKEN_FILE") {
		t.Errorf("New without the token's file: %v", err)
	}
	if errors.Is(err, os.ErrNotExist) && strings.Contains(err.Error(), "\n") {
		t.Errorf("more than one line: %v", err)
	}
}

// serve runs a service on a loopback port; stop ends it and waits.
func serve(t *testing.T, svc *function.Service) (url string, stop func()) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- svc.Serve(ctx, ln) }()
	return "http://" + ln.Addr().String(), func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
