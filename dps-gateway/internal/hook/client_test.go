package hook_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/dps-gateway/internal/hook"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/problem"
)

func TestURLsSayWhereFunctionsAre(t *testing.T) {
	urls, err := hook.ParseURLs([]string{"nats-stream=http://127.0.0.1:7415/", " *=http://{function}.tidegate.svc"})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"nats-stream": "http://127.0.0.1:7415", "kafka": "http://kafka.tidegate.svc"} {
		if got, ok := urls.Of(name); !ok || got != want {
			t.Errorf("%s: %s", name, got)
		}
	}
	none, err := hook.ParseURLs(nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, ok := none.Of("nats-stream"); ok {
		t.Errorf("%s", got)
	}
	for _, bad := range []string{"nats-stream", "=http://x", "x=ftp://y", "x=nothing", "*=http://all"} {
		if _, err := hook.ParseURLs([]string{bad}); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}

// TestWhatIsARefusalAndWhatPasses: only a problem document of the function itself refuses.
func TestWhatIsARefusalAndWhatPasses(t *testing.T) {
	document := func(code int) (int, string, string) {
		b, _ := json.Marshal(problem.Document{Title: "t", Status: code, Detail: "because"})
		return code, problem.ContentType, string(b)
	}
	for name, c := range map[string]struct {
		first  func() (code int, media, body string)
		kind   problem.Kind
		passes bool
	}{
		"the function refuses":                    {func() (int, string, string) { return document(403) }, problem.Forbidden, false},
		"the function says it is malformed":       {func() (int, string, string) { return document(400) }, problem.Invalid, false},
		"a router knows no such host":             {func() (int, string, string) { return 404, "text/plain", "no" }, 0, true},
		"the secret is being rotated":             {func() (int, string, string) { return document(401) }, 0, true},
		"the function is overloaded":              {func() (int, string, string) { return document(429) }, 0, true},
		"the function fails":                      {func() (int, string, string) { return document(500) }, 0, true},
		"the answer is none":                      {func() (int, string, string) { return 200, "application/json", "{" }, 0, true},
		"the answer is larger than an answer is":  {func() (int, string, string) { return 200, "application/json", strings.Repeat(" ", 70000) }, 0, true},
		"a redirect is not followed, and no word": {func() (int, string, string) { return 307, "text/plain", "" }, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			calls := 0
			var keys []string
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				var q gatewayapi.HookRequest
				_ = json.NewDecoder(r.Body).Decode(&q)
				keys = append(keys, q.Key)
				if calls++; calls > 1 {
					_, _ = io.WriteString(w, `{"metadata":{"again":true}}`)
					return
				}
				code, media, body := c.first()
				w.Header().Set("Content-Type", media)
				w.WriteHeader(code)
				_, _ = io.WriteString(w, body)
			}))
			defer srv.Close()
			hc := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
			cl := hook.New(hook.URLs{"f": srv.URL}, hc, nil)
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			answer, later, err := cl.Ask(ctx, "f", &gatewayapi.HookRequest{Kind: gatewayapi.HookStart, Key: "k"})
			if c.passes {
				if err != nil || later || answer.Metadata["again"] != true || !slices.Equal(keys, []string{"k", "k"}) {
					t.Errorf("%v, asked with %v", err, keys)
				}
				return
			}
			if !problem.Is(err, c.kind) || calls != 1 || !strings.Contains(err.Error(), "because") {
				t.Errorf("%v after %d calls", err, calls)
			}
		})
	}
}

func TestAskingEndsWithTheTimeThatThereIs(t *testing.T) {
	asked := make(chan int64, 100)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var q gatewayapi.HookRequest
		_ = json.NewDecoder(r.Body).Decode(&q)
		asked <- q.AnswerWithinMS
		<-r.Context().Done()
	}))
	defer srv.Close()
	cl := hook.New(hook.URLs{"f": srv.URL}, http.DefaultClient, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, _, err := cl.Ask(ctx, "f", &gatewayapi.HookRequest{Kind: gatewayapi.HookStart})
	if !problem.Is(err, problem.Unavailable) || ctx.Err() == nil {
		t.Errorf("%v", err)
	}
	if ms := <-asked; ms < 1 || ms > 200 {
		t.Errorf("told that there are %d ms", ms)
	}
	if _, _, err := cl.Ask(ctx, "unknown", &gatewayapi.HookRequest{}); !problem.Is(err, problem.Unavailable) {
		t.Errorf("%v", err)
	}
}
