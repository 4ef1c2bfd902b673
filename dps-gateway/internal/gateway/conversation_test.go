package gateway_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/tidegate/tidegate/dps-gateway/internal/gateway"
	"github.com/tidegate/tidegate/dps-gateway/internal/redistest"
	"github.com/tidegate/tidegate/shared/auth"
	"github.com/tidegate/tidegate/shared/gatewayapi"
)

// A conversation is a file of exchanges: who asks what, and what is answered. <name> stands for a value: where it is met first in
// something that the gateway says it is taken from there, everywhere else it must be the same; <any> is anything. Two names never
// have the same value, so <token 2> is a fresh token. What the gateway says must have the members that stand here and no others;
// of its refusals only those that stand here are looked at.
type exchange struct {
	line   int
	who    string // CONTROLPLANE, FUNCTION and COUNTERPARTY ask the gateway; GATEWAY is what it asks the control plane
	method string
	path   string
	header []string
	body   string
	code   int
	answer string
}

var asks = regexp.MustCompile(`^(CONTROLPLANE|FUNCTION|COUNTERPARTY|GATEWAY) ([A-Z]+) (/\S*)$`)

func readConversation(t *testing.T, file string) []exchange {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var out []exchange
	into := func(string) { t.Fatalf("%s does not begin with an exchange", file) }
	for i, line := range strings.Split(string(text), "\n") {
		m := asks.FindStringSubmatch(line)
		switch code, answered := strings.CutPrefix(line, "ANSWER "); {
		case strings.HasPrefix(line, "#") || line == "":
		case m != nil:
			out = append(out, exchange{line: i + 1, who: m[1], method: m[2], path: m[3]})
			e := &out[len(out)-1]
			into = func(s string) {
				if name, value, ok := strings.Cut(s, ": "); ok && e.body == "" && regexp.MustCompile(`^[A-Z][A-Za-z-]+$`).MatchString(name) {
					e.header = append(e.header, name, value)
					return
				}
				e.body += s + "\n"
			}
		case answered:
			e := &out[len(out)-1]
			if e.code, err = strconv.Atoi(code); err != nil {
				t.Fatalf("%s:%d: %v", file, i+1, err)
			}
			into = func(s string) { e.answer += s + "\n" }
		default:
			into(line)
		}
	}
	return out
}

// names are the values of <names>.
type names map[string]string

var named = regexp.MustCompile(`<[a-z]+( [0-9]+)?>`)

func (n names) fill(s string) string {
	return named.ReplaceAllStringFunc(s, func(name string) string { return n[name] })
}

// same compares what was said with what stands in the conversation; open allows further members.
func (n names) same(want, got any, open bool) error {
	switch w := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok {
			return errors.New("is no object")
		}
		for k, v := range w {
			if err := n.same(v, g[k], open); err != nil {
				return fmt.Errorf("%s: %w", k, err)
			}
		}
		for k := range g {
			if _, ok := w[k]; !ok && !open {
				return fmt.Errorf("%s is there, and should not be", k)
			}
		}
		return nil
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(w) {
			return fmt.Errorf("%d elements, want %d", len(g), len(w))
		}
		for i := range w {
			if err := n.same(w[i], g[i], open); err != nil {
				return fmt.Errorf("[%d]: %w", i, err)
			}
		}
		return nil
	case string:
		g, ok := got.(string)
		switch {
		case !ok || g == "":
			return errors.New("is no string")
		case w == "<any>":
			return nil
		case named.FindString(w) == w && n[w] == "":
			for name, v := range n {
				if v == g {
					return fmt.Errorf("%s is %s again", w, name)
				}
			}
			n[w] = g
			return nil
		case n.fill(w) != g:
			return fmt.Errorf("is not %q", w) // what it is may be a secret
		}
		return nil
	default:
		if diff := cmp.Diff(want, got); diff != "" {
			return fmt.Errorf("%v, want %v", got, want)
		}
		return nil
	}
}

func (n names) sameJSON(want, got string, open bool) error {
	var w, g any
	if want = strings.TrimSpace(want); want == "" || want == `"*"` || want == "*" {
		return nil
	}
	if err := json.Unmarshal([]byte(want), &w); err != nil {
		return fmt.Errorf("the conversation: %w", err)
	}
	if err := json.Unmarshal([]byte(got), &g); err != nil {
		return fmt.Errorf("%q: %w", got, err)
	}
	return n.same(w, g, open)
}

// told is a request of the gateway to the control plane.
type told struct {
	method, path, body, token string
}

// controlPlane is the control plane's end: it keeps what it is told, and answers as the conversation says.
type controlPlane struct {
	*httptest.Server
	mu      sync.Mutex
	answers map[string][]int
	got     []told
}

func newControlPlane(t *testing.T, conversation []exchange) *controlPlane {
	t.Helper()
	c := &controlPlane{answers: map[string][]int{}}
	for _, e := range conversation {
		if e.who == "GATEWAY" {
			c.answers[e.method+" "+e.path] = append(c.answers[e.method+" "+e.path], e.code)
		}
	}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/token" {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"access_token":"t","token_type":"Bearer","expires_in":600}`)
			return
		}
		body, _ := io.ReadAll(r.Body)
		token, _ := auth.Bearer(r.Header)
		key, code := r.Method+" "+r.URL.Path, http.StatusOK
		c.mu.Lock()
		if left := c.answers[key]; len(left) > 0 {
			code, c.answers[key] = left[0], left[1:]
		}
		c.got = append(c.got, told{r.Method, r.URL.Path, string(body), token})
		c.mu.Unlock()
		w.WriteHeader(code)
	}))
	t.Cleanup(c.Close)
	return c
}

// take takes the first request of a kind out of what came.
func (c *controlPlane) take(method, path string) (told, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.IndexFunc(c.got, func(g told) bool { return g.method == method && g.path == path })
	if i < 0 {
		return told{}, false
	}
	g := c.got[i]
	c.got = slices.Delete(c.got, i, i+1)
	return g, true
}

// TestConversations replays conversations with the control planes of every dialect, in both directions, against a whole gateway.
func TestConversations(t *testing.T) {
	files, err := filepath.Glob("testdata/conversations/*/*.txt")
	if err != nil || len(files) < 30 {
		t.Fatalf("%d conversations, %v", len(files), err)
	}
	redistest.Each(t, func(t *testing.T, rdb redis.UniversalClient) {
		t.Helper()
		for _, file := range files {
			dialect := filepath.Base(filepath.Dir(file))
			t.Run(dialect+"/"+strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
				replay(t, rdb, dialect, readConversation(t, file))
			})
		}
	})
}

func replay(t *testing.T, rdb redis.UniversalClient, dialect string, conversation []exchange) {
	t.Helper()
	if err := rdb.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	addr := rdb.(*redis.Client).Options().Addr
	w := newWorldOn(t, rdb, "redis://"+addr+"/0")
	cp := newControlPlane(t, conversation)
	if err := os.Remove(w.path("tenants/other.yaml")); err != nil {
		t.Fatal(err)
	}
	for _, pc := range []string{"provider", "consumer"} {
		doc := fmt.Sprintf(tenantDocument, pc, cp.URL, w.path("secrets/client"), w.path("buckets/provider"), "")
		w.write("tenants/"+pc+".yaml", strings.Replace(doc, "controlPlane:\n", "controlPlane:\n  dialect: "+dialect+"\n", 1))
	}
	r := w.start(func(c *gateway.Config) {
		c.PublicURL, c.SignalingURL, c.AllowPlainHTTP = "https://public.test", "https://signaling.test", false
	})
	d := r.publish("provider", "weather.csv", []byte("sunny\n"))
	dec := gatewayapi.Decision{
		ID: gatewayapi.AgreementRecordID("agreement-p"), AgreementID: "agreement-p", DatasetID: d.ID, CounterPartyID: "did:web:consumer.test",
		Verdict: gatewayapi.Approved, Rule: "all", By: "rules", Mode: "veto", DecidedAt: time.Now(),
	}
	if _, err := r.api.Put(t.Context(), "provider", gatewayapi.KindDecision, dec.ID, dec, gatewayapi.Always()); err != nil {
		t.Fatal(err)
	}
	n := names{"<dataset>": d.ID}
	keys := r.jwks(t, cp.URL+"/signaling")
	for _, e := range conversation {
		at := fmt.Sprintf("line %d, %s %s %s", e.line, e.who, e.method, e.path)
		if e.who == "GATEWAY" {
			var got told
			within(t, at, func() (ok bool) { got, ok = cp.take(e.method, e.path); return ok })
			if err := n.sameJSON(e.body, got.body, false); err != nil {
				t.Fatalf("%s: %v", at, err)
			}
			if strings.HasPrefix(e.path, "/signaling/") {
				conforms(t, "status", got.body)
				if c, err := keys.Verify(t.Context(), got.token); err != nil || c.Subject != strings.Split(e.pc(t, conversation), "/")[0]+"-tidegate" {
					t.Errorf("%s: its token: %+v %v", at, c, err)
				}
			}
			continue
		}
		code, body := r.exchange(t, n, e)
		if code != e.code {
			t.Fatalf("%s: %d %s, want %d", at, code, body, e.code)
		}
		switch {
		case e.who != "CONTROLPLANE" || code != http.StatusOK:
		case strings.HasSuffix(e.path, "/status"):
			conforms(t, "status-response", body)
		default:
			conforms(t, "status", body)
		}
		if err := n.sameJSON(e.answer, body, code >= http.StatusBadRequest); err != nil {
			t.Fatalf("%s: %v", at, err)
		}
	}
	cp.mu.Lock()
	defer cp.mu.Unlock()
	for _, g := range cp.got {
		if strings.HasPrefix(g.path, "/signaling/") {
			t.Errorf("the gateway says more than the conversation: %s %s %s", g.method, g.path, g.body)
		}
	}
}

// conforms checks a message against a schema of DPS 1.0, which all dialects are answered by.
func conforms(t *testing.T, schema, body string) {
	t.Helper()
	s, err := jsonschema.NewCompiler().Compile("../../../shared/dps/testdata/schema/" + schema + ".json")
	if err != nil {
		t.Fatal(err)
	}
	v, err := jsonschema.UnmarshalJSON(strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Validate(v); err != nil {
		t.Errorf("it does not conform to DPS 1.0, %s: %v", schema, err)
	}
}

// pc is the tenant whose control plane is called: the one of the conversation.
func (e exchange) pc(t *testing.T, conversation []exchange) string {
	t.Helper()
	for _, o := range conversation {
		if rest, ok := strings.CutPrefix(o.path, "/participants/"); ok {
			pc, _, _ := strings.Cut(rest, "/")
			return pc
		}
	}
	t.Fatal("no tenant in this conversation")
	return ""
}

func (r *running) exchange(t *testing.T, n names, e exchange) (int, string) {
	t.Helper()
	host := map[string]string{"CONTROLPLANE": r.signaling, "FUNCTION": r.internal, "COUNTERPARTY": r.public}[e.who]
	req, err := http.NewRequestWithContext(t.Context(), e.method, "http://"+host+e.path, bytes.NewBufferString(n.fill(e.body)))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(e.header); i += 2 {
		req.Header.Set(e.header[i], n.fill(e.header[i+1]))
	}
	if e.who == "FUNCTION" {
		secret, err := os.ReadFile(r.w.path("secrets/internal"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+string(secret))
		req.Header.Set("Content-Type", "application/json")
	}
	a := r.do(req)
	return a.code, string(a.body)
}

// jwks verifies tokens that the gateway sends to a control plane, by the keys that it publishes.
func (r *running) jwks(t *testing.T, signalingURL string) *auth.Verifier {
	t.Helper()
	return auth.NewVerifier(auth.VerifierConfig{
		Issuer: "https://public.test", JWKSURL: "http://" + r.public + "/.well-known/jwks.json", Audience: signalingURL,
	}, r.hc)
}
