package controlplane_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/tidegate/tidegate/dps-gateway/internal/controlplane"
	"github.com/tidegate/tidegate/dps-gateway/internal/redistest"
	"github.com/tidegate/tidegate/shared/dps"
	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/tenant"
)

// owners are flows by the control plane that made them.
type owners map[string]string

func (o owners) Owner(_ context.Context, _, id string) (string, error) { return o[id], nil }

// TestTheControlPlaneThatMadeAFlowIsCalled, at the endpoint and by the profile that it has registered, on every replica at once; and the
// workload's token goes to the exchange endpoint of the document only.
func TestTheControlPlaneThatMadeAFlowIsCalled(t *testing.T) {
	var mu sync.Mutex
	var seen []string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		mu.Lock()
		defer mu.Unlock()
		switch r.URL.Path {
		case "/sts/token", "/x/token", "/evil/token":
			seen = append(seen, r.URL.Path+" "+r.PostForm.Get("subject_token")+r.PostForm.Get("client_secret")+" "+r.PostForm.Get("audience"))
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(map[string]any{"access_token": "of" + r.URL.Path[1:4], "token_type": "Bearer", "expires_in": 600})
		default:
			seen = append(seen, r.URL.Path+" "+r.Header.Get("Authorization"))
		}
	}))
	defer srv.Close()
	hc := &http.Client{Transport: &http.Transport{}}
	defer hc.CloseIdleConnections()
	file := filepath.Join(t.TempDir(), "workload")
	if err := os.WriteFile(file, []byte("workload"), 0o600); err != nil {
		t.Fatal(err)
	}
	tn := &tenant.Tenant{ParticipantContextID: "a", ControlPlane: tenant.ControlPlane{
		SignalingURL: srv.URL + "/document", Signaling: tenant.Signaling{Registration: tenant.RegistrationAllowed, Authorization: tenant.SignalingAuthorization{
			Type: tenant.SignalingExchange, Subject: "cp", TokenEndpoint: srv.URL + "/sts/token", SubjectTokenFile: file,
			Callback: tenant.SignalingCallback{Resource: "a-tidegate", Audience: "edcv"},
		}},
	}}
	rdb, _ := redistest.Mini(t)
	flows := owners{"flow-of-x": "x", "flow-of-y": "y", "flow-of-gone": "gone"}
	first, second := controlplane.NewRegistrations(rdb), controlplane.NewRegistrations(rdb)
	c := controlplane.New(signer{}, "https://public.example", hc).WithRegistered(first, flows, hc)
	put := func(r *controlplane.Registration) {
		t.Helper()
		if err := second.Put(t.Context(), "a", r, nil); err != nil {
			t.Fatal(err)
		}
	}
	put(&controlplane.Registration{ID: "x", Endpoint: srv.URL + "/x", Authorization: dps.Authorization{
		Type: tenant.SignalingOAuth2, TokenEndpoint: srv.URL + "/x/token", ClientID: "us", ClientSecret: "s3cret",
	}})
	put(&controlplane.Registration{ID: "y", Endpoint: srv.URL + "/y", Authorization: dps.Authorization{
		Type: tenant.SignalingExchange, TokenExchangeEndpoint: srv.URL + "/evil/token", // as it might be if the document changed later
	}})
	call := func(flow string, want ...string) {
		t.Helper()
		mu.Lock()
		seen = nil
		mu.Unlock()
		if _, err := c.Do(t.Context(), tn, flow, http.MethodPost, "/p", nil, 10); err != nil {
			t.Fatal(err)
		}
		mu.Lock()
		defer mu.Unlock()
		if len(seen) != len(want) {
			t.Fatalf("%s: %q, want %q", flow, seen, want)
		}
		for i := range want {
			if seen[i] != want[i] {
				t.Errorf("%s: %q, want %q", flow, seen[i], want[i])
			}
		}
	}
	call("flow-of-x", "/x/token s3cret ", "/x/p Bearer ofx/t")
	call("flow-of-y", "/sts/token workload y", "/y/p Bearer ofsts")
	call("flow", "/sts/token workload edcv", "/document/p Bearer ofsts")
	put(&controlplane.Registration{ID: "x", Endpoint: srv.URL + "/moved", Authorization: dps.Authorization{
		Type: tenant.SignalingOAuth2, TokenEndpoint: srv.URL + "/x/token", ClientID: "us", ClientSecret: "rotated",
	}})
	call("flow-of-x", "/x/token rotated ", "/moved/p Bearer ofx/t")
	put(&controlplane.Registration{ID: "cp", Endpoint: srv.URL + "/own", Authorization: dps.Authorization{Type: tenant.SignalingExchange}})
	call("flow", "/sts/token workload cp", "/own/p Bearer ofsts")
	if _, err := c.Do(t.Context(), tn, "flow-of-gone", http.MethodPost, "/p", nil, 10); !problem.Is(err, problem.NotFound) {
		t.Errorf("a control plane that is registered no more: %v", err)
	}
	if _, err := c.Ask(t.Context(), tn, "x", http.MethodGet, "/p", nil, 10); err != nil {
		t.Error(err)
	}
	tn.ControlPlane.Signaling.Registration = ""
	if _, err := c.Ask(t.Context(), tn, "x", http.MethodGet, "/p", nil, 10); !problem.Is(err, problem.NotFound) {
		t.Errorf("a control plane that may not register any more: %v", err)
	}
}
