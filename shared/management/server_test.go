package management

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/tidegate/tidegate/shared/tenant"
)

// The counterparty of the tests.
var counterParty = tenant.CounterParty{ID: "provider-id", Address: "http://cp.example/protocol/provider/http-dsp-profile-2025-1"}

// tokens is a token source that counts; each token after an Invalidate is a new one.
type tokens struct {
	mu   sync.Mutex
	n    int
	dead []string
	err  error
}

func (t *tokens) Token(context.Context) (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return fmt.Sprintf("token-%d", t.n), t.err
}

func (t *tokens) Invalidate(token string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.dead = append(t.dead, token)
	t.n++
}

// request is a request as it arrived.
type request struct {
	Line, Authorization, ContentType string
	Body                             []byte
}

// answer is what the server says: once each, in order; the last one for ever.
type answer struct {
	status int
	body   string
	header map[string]string
	do     func(http.ResponseWriter, *http.Request) // instead of the above
}

// controlPlane answers as told and keeps what it was asked.
type controlPlane struct {
	*httptest.Server
	mu       sync.Mutex
	requests []request
	answers  []answer
}

func serve(t *testing.T, answers ...answer) *controlPlane {
	t.Helper()
	cp := &controlPlane{answers: answers}
	cp.Server = httptest.NewServer(cp)
	t.Cleanup(cp.Close)
	return cp
}

func (cp *controlPlane) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	cp.mu.Lock()
	cp.requests = append(cp.requests, request{r.Method + " " + r.URL.EscapedPath(), r.Header.Get("Authorization"), r.Header.Get("Content-Type"), body})
	a := cp.answers[0]
	if len(cp.answers) > 1 {
		cp.answers = cp.answers[1:]
	}
	cp.mu.Unlock()
	if a.do != nil {
		a.do(w, r)
		return
	}
	for k, v := range a.header {
		w.Header().Set(k, v)
	}
	w.WriteHeader(a.status)
	_, _ = io.WriteString(w, a.body)
}

func (cp *controlPlane) seen() []request {
	cp.mu.Lock()
	defer cp.mu.Unlock()
	return append([]request(nil), cp.requests...)
}

// client returns a client of the server that repeats without long pauses.
func (cp *controlPlane) client(t *testing.T) (*Client, *tokens) {
	t.Helper()
	ts := &tokens{}
	c := New(&tenant.Tenant{ParticipantContextID: "provider", ControlPlane: tenant.ControlPlane{
		ManagementURL: cp.URL + "/management", Profile: "http-dsp-profile-2025-1",
	}}, ts, cp.Client())
	c.limits.interval = time.Millisecond
	return c, ts
}

func recorded(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile("testdata/answers/" + name + ".json")
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func indent(t *testing.T, v any) string {
	t.Helper()
	if raw, ok := v.([]byte); ok {
		if len(raw) == 0 {
			return ""
		}
		var buf bytes.Buffer
		if err := json.Indent(&buf, raw, "", "  "); err != nil {
			t.Fatalf("%s: %v", raw, err)
		}
		return buf.String() + "\n"
	}
	out, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return string(out) + "\n"
}

// drop ends a request without an answer.
func drop(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
