package acceptance

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/infra/internal/demo"
	"github.com/tidegate/tidegate/infra/internal/local"
	"github.com/tidegate/tidegate/shared/auth"
)

// TestAPullOutlivesItsAccessToken moves a file for longer than an access token is good: the consumer's gateway renews it, known by
// the DID document that the sandbox serves, and the consumer takes no address that can't be renewed.
func TestAPullOutlivesItsAccessToken(t *testing.T) {
	layout := newLayout(t)
	if _, err := local.Prepare(layout, binDir(t)); err != nil { // the files as the launcher makes them
		t.Fatal(err)
	}
	key := filepath.Join(layout.Dir, "secrets", "consumer-did.pem")
	if _, err := auth.LoadOrCreateSigningKey(key); err != nil {
		t.Fatal(err)
	}
	did := "did:web:" + strings.Replace(strings.TrimPrefix(layout.SandboxURL(), "http://"), ":", "%3A", 1) + ":did:"
	identities := strings.NewReplacer("did:web:provider.example", did+"provider", "did:web:consumer.example", did+"consumer")
	for name, more := range map[string]string{
		"tenants/provider.yaml": "renewal: {offer: short}\nlimits: {bytesPerSecond: 4000000}\n",
		"tenants/consumer.yaml": "renewal: {demand: true, key: {id: '" + did + "consumer#key-1', file: '" + key + "'}}\n",
		"sandbox.yaml":          "",
	} {
		file := filepath.Join(layout.Dir, filepath.FromSlash(name))
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		text := identities.Replace(string(b)) + more
		if name == "sandbox.yaml" {
			text = strings.Replace(text, "identity: "+did+"consumer\n", "identity: "+did+"consumer\n    didKeyFile: "+key+"\n", 1)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	h := start(t, layout, "TOKEN_TTL_SHORT=2s", "RENEW_BEFORE=1s", "ALLOW_PRIVATE_PEERS=true", "DID_PLAIN_HTTP=true", "SLICE_TIME=1s")
	f := h.write(t, "long.bin", bytes.Repeat([]byte("0123456789abcdef"), 24<<16)) // six seconds of the provider's rate
	eventually(t, 60*time.Second, h.arrived([]demo.File{f}))
	log, err := os.ReadFile(filepath.Join(layout.Logs(), "dps-gateway.log"))
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(log), `"message":"access token renewed"`); n < 4 { // each renewal is told on both sides
		t.Errorf("%d renewals are in the gateway's log", n)
	}
}
