package auth

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/tidegate/tidegate/shared/problem"
)

// handMade signs any header and payload with ES256, as no library would.
func handMade(tb testing.TB, key jose.JSONWebKey, header, payload string) string {
	tb.Helper()
	signed := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + base64.RawURLEncoding.EncodeToString([]byte(payload))
	sum := sha256.Sum256([]byte(signed))
	private, _ := key.Key.(*ecdsa.PrivateKey)
	r, s, err := ecdsa.Sign(rand.Reader, private, sum[:])
	if err != nil {
		tb.Fatal(err)
	}
	signature := append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature)
}

func TestAWellSignedTokenWithAStrangeHeaderOrStrangeClaims(t *testing.T) {
	key := ecKey(t, "k1")
	i := newIssuer(t, key)
	v := i.verifier()
	b, err := json.Marshal(goodClaims(nil))
	if err != nil {
		t.Fatal(err)
	}
	claims := string(b)
	more := func(member string) string { return strings.TrimSuffix(claims, "}") + "," + member + "}" }
	tests := []struct {
		name, header, claims string
		good                 bool
	}{
		{"a plain one", `{"alg":"ES256","kid":"k1"}`, claims, true},
		{"parameters that say nothing of the signature", `{"typ":"at+jwt","kid":"k1","alg":"ES256","x5t":"abc","jku":"https://evil.example"}`, claims, true},
		{"no key id", `{"alg":"ES256"}`, claims, true},
		{"null for a key id", `{"alg":"ES256","kid":null}`, claims, true},
		{"claims of no interest", `{"alg":"ES256","kid":"k1"}`, more(`"realm_access":{"roles":["a",{"b":[1e9]}]},"azp":null`), true},
		{"claims that are null", `{"alg":"ES256","kid":"k1"}`, more(`"nbf":null`), true},
		{"space around the claims", `{"alg":"ES256","kid":"k1"}`, " \n" + claims + " ", true},

		{"no algorithm", `{"kid":"k1"}`, claims, false},
		{"the algorithm of another kind of key", `{"alg":"RS256","kid":"k1"}`, claims, false},
		{"the algorithm of another curve", `{"alg":"ES384","kid":"k1"}`, claims, false},
		{"the algorithm in other letters", `{"ALG":"ES256","kid":"k1"}`, claims, false},
		{"two algorithms", `{"alg":"ES256","alg":"ES256","kid":"k1"}`, claims, false},
		{"a key id that is a number", `{"alg":"ES256","kid":1}`, claims, false},
		{"an extension that must be understood", `{"alg":"ES256","kid":"k1","crit":["exp"]}`, claims, false},
		{"a payload that is not encoded", `{"alg":"ES256","kid":"k1","crit":["b64"],"b64":false}`, claims, false},
		{"a payload that is not encoded, and need not be understood", `{"alg":"ES256","kid":"k1","b64":false}`, claims, false},
		{"a header that is no object", `["ES256"]`, claims, false},
		{"a header that goes on", `{"alg":"ES256","kid":"k1"}{}`, claims, false},
		{"a claim twice", `{"alg":"ES256","kid":"k1"}`, more(`"sub":"another"`), false},
		{"claims that go on", `{"alg":"ES256","kid":"k1"}`, claims + `{}`, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			token := handMade(t, key, tt.header, tt.claims)
			for range 2 { // the second time its header is a known one
				c, err := v.Verify(t.Context(), token)
				if (err == nil) != tt.good || (err != nil && !problem.Is(err, problem.Unauthenticated)) {
					t.Fatalf("%v", err)
				}
				if tt.good && c.Subject != "provider" {
					t.Errorf("the subject is %q", c.Subject)
				}
			}
		})
	}
	// A claim in other letters is another claim.
	c, err := v.Verify(t.Context(), handMade(t, key, `{"alg":"ES256","kid":"k1"}`, more(`"SUB":"another","Iss":"another"`)))
	if err != nil || c.Subject != "provider" || c.All()["SUB"] != "another" {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestAKnownHeaderProvesNothing(t *testing.T) {
	key, other := ecKey(t, "k1"), ecKey(t, "k2")
	i := newIssuer(t, key, other)
	v := i.verifier()
	for range 3 {
		for _, k := range []jose.JSONWebKey{key, other} {
			if _, err := v.Verify(t.Context(), sign(t, jose.ES256, k, goodClaims(nil))); err != nil {
				t.Fatalf("of %s: %v", k.KeyID, err)
			}
			head := `{"alg":"ES256","kid":"` + k.KeyID + `"}` // as the signer writes it
			payload, _ := json.Marshal(goodClaims(nil))
			if _, err := v.Verify(t.Context(), handMade(t, ecKey(t, k.KeyID), head, string(payload))); !problem.Is(err, problem.Unauthenticated) {
				t.Fatalf("the header of %s, the signature of nobody: %v", k.KeyID, err)
			}
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	key := rsaKey(b)
	set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &key.PublicKey, KeyID: "k1", Use: "sig"}}})
	if err != nil {
		b.Fatal(err)
	}
	v := NewVerifier(VerifierConfig{Issuer: testIssuer, JWKS: string(set), Audience: "gateway"}, nil)
	token := sign(b, jose.RS256, jose.JSONWebKey{Key: key, KeyID: "k1"}, goodClaims(map[string]any{
		"azp": "provider", "typ": "Bearer", "acr": "1", "email_verified": false, "scope": "email profile",
	}))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.Verify(b.Context(), token); err != nil {
			b.Fatal(err)
		}
	}
}
