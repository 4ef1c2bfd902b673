package controlplane_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/tidegate/tidegate/dps-gateway/internal/controlplane"
	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/tenant"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestCallsByTokenExchange: the workload's token is exchanged for one that the control plane takes; one that is refused is not used again.
func TestCallsByTokenExchange(t *testing.T) {
	var forms []url.Values
	var tokens []string
	code := http.StatusOK
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/token" {
			_ = r.ParseForm()
			forms = append(forms, r.PostForm)
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(map[string]any{"access_token": "t", "token_type": "Bearer", "expires_in": 600})
			return
		}
		tokens = append(tokens, r.Method+" "+r.URL.Path+" "+r.Header.Get("Authorization"))
		w.WriteHeader(code)
		_, _ = w.Write([]byte("0123456789"))
	}))
	defer srv.Close()
	hc := &http.Client{Transport: &http.Transport{}}
	defer hc.CloseIdleConnections()
	file := filepath.Join(t.TempDir(), "workload")
	if err := os.WriteFile(file, []byte("w-1"), 0o600); err != nil {
		t.Fatal(err)
	}
	tn := &tenant.Tenant{ParticipantContextID: "a", ControlPlane: tenant.ControlPlane{
		SignalingURL: srv.URL + "/signaling", Signaling: tenant.Signaling{Authorization: tenant.SignalingAuthorization{
			Type: tenant.SignalingExchange, TokenEndpoint: srv.URL + "/token", SubjectTokenFile: file,
			Callback: tenant.SignalingCallback{Resource: "a-tidegate", Audience: "cp", Scopes: []string{"signaling"}},
		}},
	}}
	c := controlplane.New(nil, "https://public.example", hc)
	for _, code = range []int{200, 200, 401, 200} {
		a, err := c.Do(t.Context(), tn, "x", http.MethodPost, "/transfers/x/dataflow/completed", []byte("{}"), 4)
		if err != nil || a.Status != code || string(a.Body) != "0123" || !a.Partial {
			t.Fatalf("%+v %v", a, err)
		}
	}
	if len(forms) != 2 { // one, and another after the refusal
		t.Errorf("%d exchanges", len(forms))
	}
	if d := cmp.Diff(url.Values{
		"grant_type": {"urn:ietf:params:oauth:grant-type:token-exchange"}, "subject_token": {"w-1"},
		"subject_token_type": {"urn:ietf:params:oauth:token-type:jwt"}, "requested_token_type": {"urn:ietf:params:oauth:token-type:jwt"},
		"resource": {"a-tidegate"}, "audience": {"cp"}, "scope": {"signaling"},
	}, forms[0]); d != "" {
		t.Error(d)
	}
	if tokens[0] != "POST /signaling/transfers/x/dataflow/completed Bearer t" {
		t.Error(tokens[0])
	}
	// Another version of the document begins with another token.
	renewed := *tn
	if _, err := c.Do(t.Context(), &renewed, "x", http.MethodGet, "/x", nil, 4); err != nil || len(forms) != 3 {
		t.Errorf("%d exchanges, %v", len(forms), err)
	}
}

func TestAControlPlaneThatIsSlowOrAway(t *testing.T) {
	stop := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-stop }))
	defer srv.Close()
	defer close(stop)
	hc := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	c := controlplane.New(signer{}, "https://public.example", hc)
	tn := &tenant.Tenant{ControlPlane: tenant.ControlPlane{SignalingURL: srv.URL}}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := c.Do(ctx, tn, "x", http.MethodGet, "/x", nil, 4); !problem.Is(err, problem.Timeout) {
		t.Errorf("slow: %v", err)
	}
	away := *tn
	away.ControlPlane.SignalingURL = "http://127.0.0.1:1"
	if _, err := c.Do(t.Context(), &away, "x", http.MethodGet, "/x", nil, 4); !problem.Is(err, problem.Unavailable) {
		t.Errorf("away: %v", err)
	}
}

type signer struct{}

func (signer) Sign(any) (string, error) { return "signed", nil }
