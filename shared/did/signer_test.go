package did_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/tidegate/tidegate/shared/did"
	"github.com/tidegate/tidegate/shared/problem"
)

func pemOf(t *testing.T, key any) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

func jwkText(t *testing.T, key any) string {
	t.Helper()
	b, err := jose.JSONWebKey{Key: key}.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func file(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func edKey(t *testing.T) ed25519.PrivateKey {
	t.Helper()
	_, k, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestWhatAFileSignsHolds(t *testing.T) {
	for name, key := range map[string]crypto.Signer{"P-256": ecKey(t, elliptic.P256()), "P-384": ecKey(t, elliptic.P384()), "Ed25519": edKey(t)} {
		for form, text := range map[string]string{"PEM": pemOf(t, key), "JWK": jwkText(t, key)} {
			h := newHost(t)
			h.publishes(map[string]crypto.PublicKey{"#k": key.Public()})
			token, err := did.SignAssertion(t.Context(), did.FileKey{File: file(t, text)}, h.did+"#k", claims(h.did))
			if err != nil {
				t.Fatalf("%s as %s: %v", name, form, err)
			}
			a := assertion(t, token)
			if err := h.resolver(t, did.Options{}).Check(t.Context(), h.did, a); err != nil || a.Claims.Issuer != h.did {
				t.Errorf("%s as %s: %v", name, form, err)
			}
		}
	}
}

func TestAKeyThatCanNotSignIsSaidWithoutShowingIt(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"RSA": pemOf(t, rsaKey), "P-521": jwkText(t, ecKey(t, elliptic.P521())), "a public key": jwkText(t, &ecKey(t, elliptic.P256()).PublicKey),
		"a secret": "hunter2", "broken PEM": "-----BEGIN PRIVATE KEY-----\naHVudGVyMg==\n-----END PRIVATE KEY-----\n", "nothing": "",
	} {
		_, err := did.SignAssertion(t.Context(), did.FileKey{File: file(t, text)}, "k", nil)
		if !problem.Is(err, problem.Unavailable) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := did.SignAssertion(t.Context(), did.FileKey{File: "/nowhere/key"}, "k", nil); !problem.Is(err, problem.Unavailable) {
		t.Errorf("no file: %v", err)
	}
}

// vault behaves like a Vault's transit engine: POST /v1/{mount}/sign/{name}, two versions of each key, policy by token.
func vault(t *testing.T, versions []crypto.Signer) (*httptest.Server, *http.Header) {
	t.Helper()
	var last http.Header
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		last = r.Header.Clone()
		fail := func(code int, text string) {
			w.WriteHeader(code)
			_ = json.NewEncoder(w).Encode(map[string]any{"errors": []string{text}})
		}
		if r.Header.Get("X-Vault-Token") != "s.token" {
			fail(http.StatusForbidden, "permission denied")
			return
		}
		if r.Method != http.MethodPost || r.URL.Path != "/v1/eu/transit/sign/consumer" {
			fail(http.StatusNotFound, "no handler for route")
			return
		}
		var in struct {
			Input      string `json:"input"`
			Hash       string `json:"hash_algorithm"`
			Marshaling string `json:"marshaling_algorithm"`
			Version    int    `json:"key_version"`
		}
		if json.NewDecoder(r.Body).Decode(&in) != nil {
			fail(http.StatusBadRequest, "failed to parse JSON")
			return
		}
		text, err := base64.StdEncoding.DecodeString(in.Input)
		if err != nil {
			fail(http.StatusBadRequest, "unable to decode input as base64")
			return
		}
		if in.Version == 0 {
			in.Version = len(versions)
		}
		var signature string
		switch k := versions[in.Version-1].(type) {
		case ed25519.PrivateKey:
			signature = base64.StdEncoding.EncodeToString(ed25519.Sign(k, text))
		case *ecdsa.PrivateKey:
			hash, size := crypto.SHA256, 32
			if in.Hash == "sha2-384" {
				hash, size = crypto.SHA384, 48
			}
			sum := hash.New()
			sum.Write(text)
			a, b, err := ecdsa.Sign(rand.Reader, k, sum.Sum(nil))
			if err != nil || in.Marshaling != "jws" {
				fail(http.StatusBadRequest, "marshaling")
				return
			}
			signature = base64.RawURLEncoding.EncodeToString(append(a.FillBytes(make([]byte, size)), b.FillBytes(make([]byte, size))...))
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"request_id": "1", "data": map[string]any{
			"key_version": in.Version, "signature": fmt.Sprintf("vault:v%d:%s", in.Version, signature),
		}})
	}))
	t.Cleanup(srv.Close)
	return srv, &last
}

func TestWhatAVaultSignsHolds(t *testing.T) {
	for algorithm, keys := range map[string][]crypto.Signer{
		"ES256": {ecKey(t, elliptic.P256()), ecKey(t, elliptic.P256())},
		"ES384": {ecKey(t, elliptic.P384()), ecKey(t, elliptic.P384())},
		"EdDSA": {edKey(t), edKey(t)},
	} {
		srv, last := vault(t, keys)
		h := newHost(t)
		h.publishes(map[string]crypto.PublicKey{"#v1": keys[0].Public(), "#v2": keys[1].Public()})
		r := h.resolver(t, did.Options{})
		k := did.VaultKey{URL: srv.URL, TokenFile: file(t, "s.token\n"), Mount: "eu/transit", Key: "consumer", Algorithm: algorithm, Namespace: "ns", HTTP: srv.Client()}
		for version, kid := range []string{"#v2", "#v1", "#v2"} { // 0 is the latest
			k.Version = version
			token, err := did.SignAssertion(t.Context(), k, h.did+kid, claims(h.did))
			if err != nil {
				t.Fatalf("%s, version %d: %v", algorithm, version, err)
			}
			if err := r.Check(t.Context(), h.did, assertion(t, token)); err != nil {
				t.Errorf("%s, version %d: %v", algorithm, version, err)
			}
		}
		if got := last.Get("X-Vault-Namespace"); got != "ns" {
			t.Errorf("namespace %q", got)
		}
	}
}

func TestAVaultThatDoesNotSignIsAPassingFailure(t *testing.T) {
	srv, _ := vault(t, []crypto.Signer{edKey(t)})
	good := did.VaultKey{URL: srv.URL, TokenFile: file(t, "s.token"), Mount: "eu/transit", Key: "consumer", Algorithm: "EdDSA", HTTP: srv.Client()}
	for name, change := range map[string]func(*did.VaultKey){
		"another token":             func(k *did.VaultKey) { k.TokenFile = file(t, "hunter2") },
		"no token":                  func(k *did.VaultKey) { k.TokenFile = "/nowhere/token" },
		"another key":               func(k *did.VaultKey) { k.Key = "nobody" },
		"a key of another type":     func(k *did.VaultKey) { k.Algorithm = "ES384" },
		"a Vault that is not there": func(k *did.VaultKey) { k.URL = "http://127.0.0.1:1" },
	} {
		k := good
		change(&k)
		if _, err := did.SignAssertion(t.Context(), k, "k", nil); !problem.Is(err, problem.Unavailable) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, answer := range map[string]string{
		"no JSON": "<html>", "no signature": `{"data":{}}`, "another form": `{"data":{"signature":"abc"}}`, "no base64": `{"data":{"signature":"vault:v1:!"}}`,
		"too short": `{"data":{"signature":"vault:v1:AAAA"}}`,
	} {
		odd := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(answer)) }))
		k := good
		k.URL, k.HTTP = odd.URL, odd.Client()
		if _, err := did.SignAssertion(t.Context(), k, "k", nil); !problem.Is(err, problem.Unavailable) {
			t.Errorf("%s: %v", name, err)
		}
		odd.Close()
	}
}
