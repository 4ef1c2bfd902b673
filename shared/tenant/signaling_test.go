package tenant_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidegate/tidegate/shared/tenant"
)

// TestTokenExchangeDefaults: what is not said of a token exchange follows from the data plane's id and the control plane's name.
func TestTokenExchangeDefaults(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"secret": "s3cret", "workload": "a.b.c", "a.yaml": `participantContextId: a
did: did:web:a.example
controlPlane:
  managementUrl: https://cp.example/management
  signalingUrl: https://cp.example/signaling
  signaling:
    authorization:
      type: oauth2_token_exchange
      tokenEndpoint: https://sts.example/token
      issuer: https://sts.example
      jwksUrl: https://sts.example/jwks
      subject: https://cp.example
      scopes: [dps:signal]
      subjectTokenFile: workload
      callback:
        audience: cp
auth:
  type: client_credentials
  tokenEndpoint: https://idp.example/token
  clientId: app
  clientSecretFile: secret
`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := tenant.Load(filepath.Join(dir, "a.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	want := tenant.SignalingAuthorization{
		Type: tenant.SignalingExchange, TokenEndpoint: "https://sts.example/token", Issuer: "https://sts.example", JWKSURL: "https://sts.example/jwks",
		Audience: "a-tidegate", Subject: "https://cp.example", SubjectClaim: "sub", Scopes: []string{"dps:signal"},
		Resource: "https://cp.example", RequestScopes: []string{"dps:signal"}, SubjectTokenFile: filepath.Join(dir, "workload"),
		Callback: tenant.SignalingCallback{Resource: "a-tidegate", Audience: "cp"},
	}
	if d := cmp.Diff(want, got.ControlPlane.Signaling.Authorization); d != "" {
		t.Error(d)
	}
}
