package acceptance

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/infra/internal/demo"
	"github.com/tidegate/tidegate/infra/internal/local"
	"github.com/tidegate/tidegate/shared/auth"
	"github.com/tidegate/tidegate/shared/management"
)

// exchangeAuthorization is the signaling authorization of a tenant by token exchange.
const exchangeAuthorization = `    authorization:
      type: oauth2_token_exchange
      tokenEndpoint: %[1]s/idp/oauth/token
      issuer: %[1]s/idp
      jwksUrl: %[1]s/idp/keys
      subject: urn:controlplane:%[3]s
      scopes: [dps:signal]
      requestScopes: [signaling]
      subjectTokenFile: %[2]s
      callback:
        audience: edcv
        scopes: [signaling]

auth:
`

// exchangeMappings are who may become whom at the sandbox's token exchange: its control plane, and the gateway's workload.
const exchangeMappings = `idp:
  exchange:
    tiers: {signaling: "dps:signal"}
    issuers: [{issuer: urn:cluster, jwksFile: %[1]s}]
    mappings:
      - {client: "system:serviceaccount:edc-v:controlplane", participantContext: provider, resource: "urn:controlplane:provider", scopes: [signaling], audiences: [provider-tidegate]}
      - {client: "system:serviceaccount:edc-v:controlplane", participantContext: consumer, resource: "urn:controlplane:consumer", scopes: [signaling], audiences: [consumer-tidegate]}
      - {client: "system:serviceaccount:tidegate:gateway", participantContext: provider, resource: provider-tidegate, scopes: [signaling]}
      - {client: "system:serviceaccount:tidegate:gateway", participantContext: consumer, resource: consumer-tidegate, scopes: [signaling]}
`

// TestSignalingByTokenExchange moves a file where both sides of signaling prove who they are by exchange of their workload's token, and
// nobody has a secret for it. A transfer comes to its end only if the signals, the callbacks and the registration are all taken.
func TestSignalingByTokenExchange(t *testing.T) {
	layout := newLayout(t)
	if _, err := local.Prepare(layout, binDir(t)); err != nil { // the files as the launcher makes them
		t.Fatal(err)
	}
	token, jwks := workload(t, layout.Dir)
	inAuthorization := regexp.MustCompile(`(?s)    authorization:\n.*?\nauth:\n`)
	for _, pc := range []string{"provider", "consumer"} {
		edit(t, filepath.Join(layout.Tenants(), pc+".yaml"), func(text string) string {
			return inAuthorization.ReplaceAllString(text, fmt.Sprintf(exchangeAuthorization, layout.SandboxURL(), token, pc))
		})
	}
	edit(t, filepath.Join(layout.Dir, "sandbox.yaml"), func(text string) string {
		return strings.Replace(text, "idp:\n", fmt.Sprintf(exchangeMappings, jwks), 1)
	})
	h := start(t, layout)
	f := h.write(t, "exchanged.txt", []byte("nobody has a secret"))
	eventually(t, 60*time.Second, h.arrived([]demo.File{f}))
	eventually(t, 30*time.Second, h.settled(t))
	for _, pc := range []string{"provider", "consumer"} {
		n := 0
		for tp, err := range h.controlPlane(t, pc).QueryTransfers(t.Context(), management.Query{}) {
			if err != nil {
				t.Fatal(err)
			}
			if tp.State != "COMPLETED" {
				t.Errorf("%s: transfer %s is %s: %s", pc, tp.ID, tp.State, tp.ErrorDetail)
				continue
			}
			n++
			a, err := h.Gateway.Agreement(t.Context(), pc, tp.ID)
			if err != nil || a.DatasetID != tp.AssetID || a.ProviderID != "did:web:provider.example" || a.ConsumerID != "did:web:consumer.example" || a.SignedAt.IsZero() {
				t.Errorf("%s: agreement %+v: %v", pc, a, err)
			}
		}
		if n == 0 {
			t.Errorf("%s has no transfer", pc)
		}
	}
}

// workload makes the token of the gateway's workload, as a platform projects it into a file, and the keys of the platform.
func workload(t *testing.T, dir string) (token, jwks string) {
	t.Helper()
	platform, err := auth.LoadOrCreateSigningKey(filepath.Join(dir, "secrets", "platform.pem"))
	if err != nil {
		t.Fatal(err)
	}
	jwt, err := platform.Sign(map[string]any{
		"iss": "urn:cluster", "sub": "system:serviceaccount:tidegate:gateway", "aud": "sts",
		"iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix(),
	})
	if err != nil {
		t.Fatal(err)
	}
	token, jwks = filepath.Join(dir, "secrets", "workload"), filepath.Join(dir, "secrets", "platform-jwks.json")
	for file, text := range map[string]string{token: jwt, jwks: string(platform.JWKS())} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return token, jwks
}

// edit changes a file of the deployment.
func edit(t *testing.T, file string, change func(string) string) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text := change(string(b))
	if text == string(b) {
		t.Fatalf("%s: nothing was changed", file)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
