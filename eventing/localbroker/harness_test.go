package localbroker_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"github.com/tidegate/tidegate/eventing/localbroker"
	"github.com/tidegate/tidegate/eventing/localbroker/delivery"
	"github.com/tidegate/tidegate/shared/auth"
)

const token = "a-secret-of-the-deployment"

const brokerYAML = `apiVersion: eventing.knative.dev/v1
kind: Broker
metadata: {name: default}
`

// trigger is a Trigger for a Service; more is the rest of its spec, in YAML flow style.
func trigger(name, service, more string) string {
	return fmt.Sprintf(`---
apiVersion: eventing.knative.dev/v1
kind: Trigger
metadata: {name: %s}
spec: {broker: default, subscriber: {ref: {apiVersion: serving.knative.dev/v1, kind: Service, name: %s}}%s}
`, name, service, more)
}

const deadLetterTo = `deadLetterSink: {ref: {apiVersion: v1, kind: Service, name: dead}, uri: /v1/parked}`

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// broker is a running broker.
type broker struct {
	*localbroker.Broker
	url  string
	stop func()
}

type setup struct {
	dir         string // data; "" = a new one
	manifests   string
	subscribers map[string]string
	adjust      func(*localbroker.Config)
}

func config(tb testing.TB, s *setup) (*localbroker.Config, *auth.SharedSecret) {
	tb.Helper()
	dir := tb.TempDir()
	if s.dir == "" {
		s.dir = filepath.Join(dir, "data")
	}
	manifests := filepath.Join(dir, "manifests")
	if err := os.Mkdir(manifests, 0o700); err != nil {
		tb.Fatal(err)
	}
	for name, content := range map[string]string{"manifests/all.yaml": s.manifests, "token": token + "\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			tb.Fatal(err)
		}
	}
	var pairs []string
	for name, url := range s.subscribers {
		pairs = append(pairs, name+"="+url)
	}
	cfg, err := localbroker.LoadConfig([]string{
		"PORT=0", "MANIFESTS_DIRS=" + manifests, "DATA_DIR=" + s.dir, "SUBSCRIBERS=" + strings.Join(pairs, ","),
		"INTERNAL_TOKEN_FILE=" + filepath.Join(dir, "token"), "GRACE=500ms",
	})
	if err != nil {
		tb.Fatal(err)
	}
	if s.adjust != nil {
		s.adjust(cfg)
	}
	secret, err := auth.NewSharedSecret(cfg.TokenFile)
	if err != nil {
		tb.Fatal(err)
	}
	return cfg, secret
}

func start(tb testing.TB, s *setup) *broker {
	tb.Helper()
	cfg, secret := config(tb, s)
	ctx, cancel := context.WithCancel(context.Background())
	b, err := localbroker.New(ctx, cfg, secret, zerolog.Nop())
	if err != nil {
		cancel()
		tb.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx) }()
	out := &broker{Broker: b, url: "http://" + b.Address()}
	out.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			tb.Error(err)
		}
		http.DefaultClient.CloseIdleConnections()
	})
	tb.Cleanup(out.stop)
	return out
}

// request is a publish of one event in binary mode.
func request(tb testing.TB, url, id string, headers map[string]string, body string) *http.Request {
	tb.Helper()
	r, err := http.NewRequest(http.MethodPost, url+"/default/default", strings.NewReader(body))
	if err != nil {
		tb.Fatal(err)
	}
	for k, v := range map[string]string{
		"Authorization": "Bearer " + token, "Ce-Specversion": "1.0", "Ce-Id": id, "Ce-Type": "test", "Ce-Source": "/test", "Content-Type": "application/json",
	} {
		r.Header.Set(k, v)
	}
	for k, v := range headers {
		if v == "" {
			r.Header.Del(k)
		} else {
			r.Header.Set(k, v)
		}
	}
	return r
}

func send(tb testing.TB, r *http.Request) *http.Response {
	tb.Helper()
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		tb.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		tb.Fatal(err)
	}
	_ = resp.Body.Close()
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp
}

func (b *broker) publish(tb testing.TB, id string) {
	tb.Helper()
	if resp := send(tb, request(tb, b.url, id, nil, `{}`)); resp.StatusCode != http.StatusAccepted {
		tb.Fatalf("publishing %s: %s", id, resp.Status)
	}
}

// figures are the answer of /stats.
type figures struct {
	delivery.Stats
	TicksSkipped int64 `json:"ticksSkipped"`
}

func (b *broker) stats(tb testing.TB) figures {
	tb.Helper()
	r, err := http.NewRequest(http.MethodGet, b.url+"/stats", nil)
	if err != nil {
		tb.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	var s figures
	if err := json.NewDecoder(send(tb, r).Body).Decode(&s); err != nil {
		tb.Fatal(err)
	}
	return s
}

// received is an event as a subscriber has seen it.
type received struct {
	path   string
	header http.Header
	body   string
	at     time.Time
}

// subscriber is a Service that keeps what it gets and answers by a function.
type subscriber struct {
	*httptest.Server

	mu  sync.Mutex
	got []received
}

func subscribe(tb testing.TB, answer func(n int, w http.ResponseWriter, r *http.Request)) *subscriber {
	tb.Helper()
	s := &subscriber{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		s.mu.Lock()
		s.got = append(s.got, received{r.URL.Path, r.Header.Clone(), string(body), time.Now()})
		n := len(s.got)
		s.mu.Unlock()
		if answer == nil {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		answer(n, w, r)
	}))
	tb.Cleanup(s.Close)
	return s
}

func (s *subscriber) all() []received {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]received(nil), s.got...)
}

func (s *subscriber) ids() []string {
	var out []string
	for _, r := range s.all() {
		out = append(out, r.header.Get("Ce-Id"))
	}
	return out
}

// eventually waits until ok, for at most 10 s.
func eventually(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			tb.Fatalf("not within a minute: %s", what)
		}
	}
}
