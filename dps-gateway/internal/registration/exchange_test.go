package registration_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidegate/tidegate/shared/dps"
	"github.com/tidegate/tidegate/shared/tenant"
)

// TestARegistrationForTokenExchangeNamesNoSecret: it tells the control plane where to exchange, for what, and whose tokens we send.
func TestARegistrationForTokenExchangeNamesNoSecret(t *testing.T) {
	ts, e := &tenants{}, &edc{planes: map[string]*dps.DataPlaneRegistrationMessage{}}
	a := newTenant(t, "a")
	a.ControlPlane.Signaling.Authorization = tenant.SignalingAuthorization{
		Type: tenant.SignalingExchange, TokenEndpoint: "https://sts.example/token", Issuer: "https://sts.example", JWKSURL: "https://sts.example/jwks",
		Audience: "a-tidegate", Subject: "https://cp.example", Resource: "https://cp.example", Scopes: []string{"dps:signal"},
		RequestScopes: []string{"signaling", "more"}, SubjectTokenFile: "/nowhere", Callback: tenant.SignalingCallback{Resource: "a-tidegate", Audience: "cp"},
	}
	ts.set(a)
	r := start(t, ts, e, time.Hour)
	eventually(t, "registered", registered(r, "a"))
	if d := cmp.Diff(&dps.Authorization{
		Type: "oauth2_token_exchange", TokenExchangeEndpoint: "https://sts.example/token", Issuer: "https://sts.example",
		JWKSURI: "https://sts.example/jwks", Resource: "https://cp.example", Audience: "a-tidegate", Scope: "signaling more",
	}, e.planes["a-tidegate"].Authorization); d != "" {
		t.Error(d)
	}
}
