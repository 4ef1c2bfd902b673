package auth

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/tidegate/tidegate/shared/problem"
)

const testIssuer = "https://idp.example"

// issuer is an identity provider: keys, and the endpoint that publishes them.
type issuer struct {
	*httptest.Server
	reads  atomic.Int64
	status atomic.Int64

	mu   sync.Mutex
	jwks []byte
}

func newIssuer(t *testing.T, keys ...jose.JSONWebKey) *issuer {
	t.Helper()
	i := &issuer{}
	i.status.Store(http.StatusOK)
	i.publish(t, keys...)
	i.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		i.reads.Add(1)
		w.WriteHeader(int(i.status.Load()))
		i.mu.Lock()
		defer i.mu.Unlock()
		_, _ = w.Write(i.jwks)
	}))
	t.Cleanup(i.Close)
	return i
}

func (i *issuer) publish(t *testing.T, keys ...jose.JSONWebKey) {
	t.Helper()
	set := jose.JSONWebKeySet{}
	for _, k := range keys {
		if p := k.Public(); p.Valid() {
			set.Keys = append(set.Keys, p)
		} else {
			set.Keys = append(set.Keys, k) // symmetric: nobody should, and yet
		}
	}
	b, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.jwks = b
}

func (i *issuer) verifier() *Verifier {
	return NewVerifier(VerifierConfig{Issuer: testIssuer, JWKSURL: i.URL + "/jwks", Audience: "gateway"}, i.Client())
}

func ecKey(tb testing.TB, id string) jose.JSONWebKey {
	tb.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return jose.JSONWebKey{Key: k, KeyID: id, Use: "sig"}
}

func sign(tb testing.TB, alg jose.SignatureAlgorithm, key any, claims map[string]any) string {
	tb.Helper()
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, nil)
	if err != nil {
		tb.Fatal(err)
	}
	b, err := json.Marshal(claims)
	if err != nil {
		tb.Fatal(err)
	}
	jws, err := s.Sign(b)
	if err != nil {
		tb.Fatal(err)
	}
	token, err := jws.CompactSerialize()
	if err != nil {
		tb.Fatal(err)
	}
	return token
}

func goodClaims(change map[string]any) map[string]any {
	now := time.Now().Unix()
	c := map[string]any{
		"iss": testIssuer, "sub": "provider", "aud": []string{"other", "gateway"}, "iat": now, "exp": now + 300,
		"jti": "j1", "scope": "a b",
	}
	maps.Copy(c, change)
	for k, v := range c {
		if v == nil {
			delete(c, k)
		}
	}
	return c
}

func TestVerifierTakesEveryAsymmetricAlgorithm(t *testing.T) {
	p384, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	p521, _ := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	rs, _ := rsa.GenerateKey(rand.Reader, 2048)
	keys := map[jose.SignatureAlgorithm]jose.JSONWebKey{
		jose.ES256: ecKey(t, "es256"),
		jose.ES384: {Key: p384, KeyID: "es384"},
		jose.EdDSA: {Key: ed, KeyID: "eddsa"},
		jose.RS256: {Key: rs, KeyID: "rsa"},
		jose.PS256: {Key: rs, KeyID: "rsa"},
		jose.ES512: {Key: p521, KeyID: "es512"},
		jose.RS384: {Key: rs, KeyID: "rsa"},
		jose.RS512: {Key: rs, KeyID: "rsa"},
		jose.PS384: {Key: rs, KeyID: "rsa"},
		jose.PS512: {Key: rs, KeyID: "rsa"},
	}
	i := newIssuer(t, keys[jose.ES256], keys[jose.ES384], keys[jose.ES512], keys[jose.EdDSA], keys[jose.RS256])
	v := i.verifier()
	for alg, key := range keys {
		c, err := v.Verify(t.Context(), sign(t, alg, key, goodClaims(nil)))
		if err != nil {
			t.Errorf("%s: %v", alg, err)
			continue
		}
		if c.Subject != "provider" || c.ID != "j1" || !c.HasAudience("gateway") || !c.HasScope("b") || c.Issuer != testIssuer {
			t.Errorf("%s: claims %+v", alg, c)
		}
	}
	if n := i.reads.Load(); n != 1 {
		t.Errorf("the keys were read %d times, want once", n)
	}
}

func TestVerifierRefusesWhatIsWrong(t *testing.T) {
	key, other := ecKey(t, "k1"), ecKey(t, "k1")
	weak, _ := rsa.GenerateKey(rand.Reader, 1024)
	enc := ecKey(t, "enc")
	enc.Use = "enc"
	i := newIssuer(t, key, jose.JSONWebKey{Key: []byte("0123456789abcdef0123456789abcdef"), KeyID: "oct"},
		jose.JSONWebKey{Key: weak, KeyID: "weak"}, enc)
	v := i.verifier()
	now := time.Now().Unix()
	good := sign(t, jose.ES256, key, goodClaims(nil))
	if _, err := v.Verify(t.Context(), good); err != nil {
		t.Fatalf("the good token: %v", err)
	}
	es := func(change map[string]any) string { return sign(t, jose.ES256, key, goodClaims(change)) }
	head, rest, _ := strings.Cut(good, ".")
	payload, sig, _ := strings.Cut(rest, ".")
	b64 := base64.RawURLEncoding.EncodeToString
	pub, _ := json.Marshal(key.Public())
	tests := map[string]string{
		"nothing":                         "",
		"garbage":                         "garbage",
		"two parts":                       head + "." + payload,
		"a broken signature":              head + "." + payload + "." + strings.Repeat("A", len(sig)),
		"other claims":                    head + "." + b64([]byte(`{"iss":"`+testIssuer+`","exp":9999999999}`)) + "." + sig,
		"no signature (alg none)":         b64([]byte(`{"alg":"none"}`)) + "." + payload + ".",
		"HMAC with the public key":        sign(t, jose.HS256, jose.JSONWebKey{Key: pub, KeyID: "k1"}, goodClaims(nil)),
		"HMAC with a key of the JWKS":     sign(t, jose.HS256, jose.JSONWebKey{Key: []byte("0123456789abcdef0123456789abcdef"), KeyID: "oct"}, goodClaims(nil)),
		"a weak RSA key":                  sign(t, jose.RS256, jose.JSONWebKey{Key: weak, KeyID: "weak"}, goodClaims(nil)),
		"a key for encryption":            sign(t, jose.ES256, enc, goodClaims(nil)),
		"another key under the same id":   sign(t, jose.ES256, other, goodClaims(nil)),
		"an unknown key id":               sign(t, jose.ES256, ecKey(t, "k9"), goodClaims(nil)),
		"an unknown critical header":      critical(t, key),
		"another issuer":                  es(map[string]any{"iss": "https://evil.example"}),
		"no issuer":                       es(map[string]any{"iss": nil}),
		"an issuer that is a list":        es(map[string]any{"iss": []string{testIssuer}}),
		"another audience":                es(map[string]any{"aud": "other"}),
		"no audience":                     es(map[string]any{"aud": nil}),
		"an audience that is a number":    es(map[string]any{"aud": 1}),
		"no expiry":                       es(map[string]any{"exp": nil}),
		"an expiry that is text":          es(map[string]any{"exp": "9999999999"}),
		"an expiry beyond all time":       es(map[string]any{"exp": 1e300}),
		"an expiry of zero":               es(map[string]any{"exp": 0}),
		"expired":                         es(map[string]any{"exp": now - 31}),
		"issued in the future":            es(map[string]any{"iat": now + 40}),
		"not valid yet":                   es(map[string]any{"nbf": now + 40}),
		"a token over 16 KiB":             es(map[string]any{"x": strings.Repeat("x", maxToken)}),
		"claims that are no object":       rawToken(t, key, `"text"`),
		"claims that are null":            rawToken(t, key, `null`),
		"one of two signatures (general)": `{"payload":"` + payload + `","protected":"` + head + `","signature":"` + sig + `"}`,
	}
	for name, token := range tests {
		t.Run(name, func(t *testing.T) {
			c, err := v.Verify(t.Context(), token)
			if !problem.Is(err, problem.Unauthenticated) || c != nil {
				t.Errorf("got %+v, %v (%v)", c, err, problem.KindOf(err))
			}
			if len(token) > 20 && err != nil && strings.Contains(err.Error(), token[:20]) {
				t.Errorf("the error repeats the token: %v", err)
			}
		})
	}
}

// A second line of defence behind the filter of keys, so it needs a test of its own.
func TestNoAlgorithmTakesAPublicKeyForASecret(t *testing.T) {
	for _, alg := range slices.Concat(algorithms, ourAlgorithm) {
		if alg == "none" || strings.HasPrefix(string(alg), "HS") {
			t.Errorf("%s is accepted", alg)
		}
	}
}

func critical(t *testing.T, key jose.JSONWebKey) string {
	t.Helper()
	opts := (&jose.SignerOptions{}).WithHeader("must", "know").WithCritical("must")
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, opts)
	if err != nil {
		t.Fatal(err)
	}
	b, _ := json.Marshal(goodClaims(nil))
	jws, err := s.Sign(b)
	if err != nil {
		t.Fatal(err)
	}
	token, _ := jws.CompactSerialize()
	return token
}

func rawToken(t *testing.T, key jose.JSONWebKey, payload string) string {
	t.Helper()
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, nil)
	if err != nil {
		t.Fatal(err)
	}
	jws, err := s.Sign([]byte(payload))
	if err != nil {
		t.Fatal(err)
	}
	token, _ := jws.CompactSerialize()
	return token
}

func TestVerifierAllowsForClocksThatDiffer(t *testing.T) {
	key := ecKey(t, "k1")
	v := newIssuer(t, key).verifier()
	now := time.Now().Unix()
	for name, change := range map[string]map[string]any{
		"just expired":     {"exp": now - 20},
		"just issued":      {"iat": now + 20},
		"just not valid":   {"nbf": now + 20},
		"no time of issue": {"iat": nil},
		"a fraction":       {"iat": float64(now) - 0.5},
		"one audience":     {"aud": "gateway"},
	} {
		if _, err := v.Verify(t.Context(), sign(t, jose.ES256, key, goodClaims(change))); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzVerify looks for tokens that crash the verifier or pass it without being signed.
func FuzzVerify(f *testing.F) {
	key := ecKey(f, "k1")
	good := sign(f, jose.ES256, key, goodClaims(nil))
	pub := key.Public()
	b, _ := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{pub}})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(b) }))
	f.Cleanup(s.Close)
	v := NewVerifier(VerifierConfig{Issuer: testIssuer, JWKSURL: s.URL}, s.Client())
	f.Add(good)
	f.Add("")
	f.Add("..")
	f.Add("eyJhbGciOiJub25lIn0.e30.")
	f.Fuzz(func(t *testing.T, token string) {
		c, err := v.Verify(t.Context(), token)
		switch {
		case err == nil && signedPart(token) != signedPart(good):
			t.Fatalf("passed unsigned: %q: %+v", token, c)
		case err != nil && !problem.Is(err, problem.Unauthenticated):
			t.Fatalf("%q: %v", token, err)
		}
	})
}

// FuzzParseClaims looks for claims that crash the reader or that pass without being in time.
func FuzzParseClaims(f *testing.F) {
	f.Add([]byte(`{"exp":9999999999,"aud":["a"],"scope":["x"]}`))
	f.Add([]byte(`{"exp":1e400}`))
	f.Add([]byte(`[]`))
	now := time.Unix(1_700_000_000, 0)
	f.Fuzz(func(t *testing.T, payload []byte) {
		c, err := ReadClaims(payload, now, 0)
		if err == nil && (!c.Expiry.After(now) || c.IssuedAt.After(now)) {
			t.Fatalf("%q passed: %+v", payload, c)
		}
	})
}

func signedPart(token string) string {
	if i := strings.LastIndexByte(token, '.'); i >= 0 {
		return token[:i]
	}
	return token
}
