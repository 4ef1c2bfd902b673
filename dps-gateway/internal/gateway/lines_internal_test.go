package gateway

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/tidegate/tidegate/shared/tenant"
)

// A tenant with functions of its own has its questions asked there, from the moment on at which its document says so.
func TestATenantsOwnFunctionsAreAsked(t *testing.T) {
	dir := t.TempDir()
	write := func(more string) {
		t.Helper()
		doc := "participantContextId: acme\ndid: did:web:acme.example\ncontrolPlane:\n  managementUrl: https://cp.example/m\n  signalingUrl: https://cp.example/s\n" +
			"  signaling: {authorization: {type: network}}\nauth: {type: token_exchange, tokenEndpoint: https://idp.example/t, subjectTokenFile: " + filepath.Join(dir, "token") +
			", audience: x}\nbuckets: [{name: b, url: 'file:///tmp'}]\n" + more
		if err := os.WriteFile(filepath.Join(dir, "acme.yaml"), []byte(doc), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "token"), []byte("t"), 0o600); err != nil {
		t.Fatal(err)
	}
	write("")
	registry, err := tenant.OpenStrict(dir)
	if err != nil {
		t.Fatal(err)
	}
	url := functionOf("http://data-server{line}.tidegate.svc", registry)
	one := functionOf("http://127.0.0.1:7413", registry)
	check := func(pc, want string) {
		t.Helper()
		if got := url(pc); got != want {
			t.Errorf("%s: asked at %s, want %s", pc, got, want)
		}
		if got := one(pc); got != "http://127.0.0.1:7413" {
			t.Errorf("%s: a URL for all became %s", pc, got)
		}
	}
	check("acme", "http://data-server.tidegate.svc")
	check("nobody", "http://data-server.tidegate.svc")
	write("line: blue\n")
	if _, err := registry.Reload(); err != nil {
		t.Fatal(err)
	}
	check("acme", "http://data-server-blue.tidegate.svc")
	check("nobody", "http://data-server.tidegate.svc")
}
