package auth

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/tidegate/tidegate/shared/problem"
)

func newSigner(tb testing.TB, keys ...*ecdsa.PrivateKey) *Signer {
	tb.Helper()
	s, err := NewSigner(keys...)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func private(tb testing.TB) *ecdsa.PrivateKey {
	tb.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return k
}

func pemOf(t *testing.T, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: der})
}

func TestOurTokensAreVerifiedByUsAndByOthers(t *testing.T) {
	s := newSigner(t, private(t))
	token, err := s.Sign(goodClaims(nil))
	if err != nil {
		t.Fatal(err)
	}
	c, err := s.Verify(token)
	if err != nil || c.Subject != "provider" || c.All()["scope"] != "a b" {
		t.Fatalf("%+v, %v", c, err)
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(s.JWKS()) }))
	defer srv.Close()
	others := NewVerifier(VerifierConfig{Issuer: testIssuer, JWKSURL: srv.URL, Audience: "gateway"}, nil)
	theirs, err := others.Verify(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(c.All(), theirs.All()); diff != "" || !c.Expiry.Equal(theirs.Expiry) || c.Subject != theirs.Subject {
		t.Errorf("they read other claims (-ours +theirs):\n%s", diff)
	}
}

func TestTheKeyIDIsTheThumbprintAndTheJWKSHoldsNoPrivateKey(t *testing.T) {
	key := private(t)
	s := newSigner(t, key)
	var set struct{ Keys []map[string]string }
	if err := json.Unmarshal(s.JWKS(), &set); err != nil {
		t.Fatal(err)
	}
	k := set.Keys[0]
	// RFC 7638, section 3: the required members in lexical order, without white space.
	sum := crypto.SHA256.New()
	sum.Write([]byte(`{"crv":"P-256","kty":"EC","x":"` + k["x"] + `","y":"` + k["y"] + `"}`))
	want := map[string]string{
		"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "x": k["x"], "y": k["y"],
		"kid": base64.RawURLEncoding.EncodeToString(sum.Sum(nil)),
	}
	if diff := cmp.Diff(want, k); diff != "" {
		t.Errorf("JWK (-want +got):\n%s", diff)
	}
	token, _ := s.Sign(goodClaims(nil))
	jws, err := jose.ParseSignedCompact(token, ourAlgorithm)
	if err != nil || jws.Signatures[0].Header.KeyID != k["kid"] || jws.Signatures[0].Header.ExtraHeaders["typ"] != "JWT" {
		t.Errorf("header %+v, %v", jws.Signatures[0].Header, err)
	}
}

func TestRotationTheFirstKeySignsAndAllVerify(t *testing.T) {
	before, after := private(t), private(t)
	old := newSigner(t, before)
	oldToken, _ := old.Sign(goodClaims(nil))
	rotated := newSigner(t, after, before)
	newToken, _ := rotated.Sign(goodClaims(nil))
	if _, err := rotated.Verify(oldToken); err != nil {
		t.Errorf("a token of the old key: %v", err)
	}
	if _, err := rotated.Verify(newToken); err != nil {
		t.Errorf("a token of the new key: %v", err)
	}
	if _, err := old.Verify(newToken); !problem.Is(err, problem.Unauthenticated) {
		t.Errorf("the new key's token before it is known: %v", err)
	}
	if n := strings.Count(string(rotated.JWKS()), `"kid"`); n != 2 {
		t.Errorf("the JWKS holds %d keys, want 2", n)
	}
}

func TestSignerRefusesWhatItDidNotSign(t *testing.T) {
	key := private(t)
	s := newSigner(t, key)
	kid := ""
	for id := range s.keys {
		kid = id
	}
	now := time.Now().Unix()
	pub, _ := json.Marshal(&jose.JSONWebKey{Key: &key.PublicKey})
	good, _ := s.Sign(goodClaims(nil))
	expired, _ := s.Sign(goodClaims(map[string]any{"exp": now - 2}))
	endless, _ := s.Sign(goodClaims(map[string]any{"exp": nil}))
	future, _ := s.Sign(goodClaims(map[string]any{"iat": now + 5}))
	head, rest, _ := strings.Cut(good, ".")
	payload, sig, _ := strings.Cut(rest, ".")
	tests := map[string]string{
		"garbage":                  "x.y.z",
		"another key under our id": sign(t, jose.ES256, jose.JSONWebKey{Key: private(t), KeyID: kid}, goodClaims(nil)),
		"our key without an id":    sign(t, jose.ES256, key, goodClaims(nil)),
		"HMAC with our public key": sign(t, jose.HS256, jose.JSONWebKey{Key: pub, KeyID: kid}, goodClaims(nil)),
		"alg none":                 base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","kid":"`+kid+`"}`)) + "." + payload + ".",
		"changed claims":           head + "." + payload[:len(payload)-4] + "AAAA." + sig,
		"expired":                  expired,
		"without expiry":           endless,
		"issued in the future":     future,
	}
	for name, token := range tests {
		if c, err := s.Verify(token); !problem.Is(err, problem.Unauthenticated) {
			t.Errorf("%s: %+v, %v", name, c, err)
		}
	}
}

func TestAKeyFileIsMadeOnceAndKept(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "key.pem")
	const racers = 8
	jwks := make([][]byte, racers)
	var wg sync.WaitGroup
	for i := range racers {
		wg.Go(func() {
			s, err := LoadOrCreateSigningKey(file)
			if err != nil {
				t.Error(err)
				return
			}
			jwks[i] = s.JWKS()
		})
	}
	wg.Wait()
	for i := range racers {
		if !bytes.Equal(jwks[i], jwks[0]) {
			t.Fatal("processes that start at once got different keys")
		}
	}
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".*")); len(left) != 0 {
		t.Errorf("left over: %v", left)
	}
}

func TestBadKeyFilesAreRefused(t *testing.T) {
	p384, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	rs, _ := rsa.GenerateKey(rand.Reader, 2048)
	good := pemOf(t, private(t))
	tests := map[string]struct {
		text []byte
		says string
	}{
		"no PEM":           {[]byte("hello"), "no PEM block"},
		"empty":            {nil, "no PEM block"},
		"another curve":    {pemOf(t, p384), "P-384"},
		"RSA":              {pemOf(t, rs), "want an EC key"},
		"another block":    {pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: []byte{1}}), "want \"PRIVATE KEY\""},
		"a broken key":     {pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: []byte{1}}), "block 1 is no PKCS#8"},
		"a second, broken": {append(bytes.Clone(good), pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: []byte{1}})...), "block 2"},
	}
	for name, tt := range tests {
		file := filepath.Join(t.TempDir(), "key.pem")
		if err := os.WriteFile(file, tt.text, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadOrCreateSigningKey(file); err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v, want %q", name, err, tt.says)
		}
		if got, _ := os.ReadFile(file); !bytes.Equal(got, tt.text) {
			t.Errorf("%s: the file was replaced", name)
		}
	}
	if _, err := LoadOrCreateSigningKey(filepath.Join(t.TempDir(), "no", "dir", "key.pem")); err == nil {
		t.Error("a missing folder is no error")
	}
}

func TestAFileWithTwoKeysRotates(t *testing.T) {
	first, second := private(t), private(t)
	file := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(file, append(pemOf(t, first), pemOf(t, second)...), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := LoadOrCreateSigningKey(file)
	if err != nil {
		t.Fatal(err)
	}
	token, _ := s.Sign(goodClaims(nil))
	if _, err := newSigner(t, first).Verify(token); err != nil {
		t.Errorf("the first key did not sign: %v", err)
	}
	other, _ := newSigner(t, second).Sign(goodClaims(nil))
	if _, err := s.Verify(other); err != nil {
		t.Errorf("the second key does not verify: %v", err)
	}
}

func FuzzSignerVerify(f *testing.F) {
	s := newSigner(f, private(f))
	good, _ := s.Sign(goodClaims(nil))
	f.Add(good)
	f.Add("eyJhbGciOiJFUzI1NiJ9.e30.AA")
	f.Fuzz(func(t *testing.T, token string) {
		_, err := s.Verify(token)
		if err == nil && signedPart(token) != signedPart(good) {
			t.Fatalf("passed unsigned: %q", token)
		}
	})
}

func BenchmarkSignerVerify(b *testing.B) {
	s := newSigner(b, private(b))
	token, _ := s.Sign(goodClaims(nil))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Verify(token); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSignerSign(b *testing.B) {
	s := newSigner(b, private(b))
	claims := goodClaims(nil)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Sign(claims); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSharedSecretCheck(b *testing.B) {
	file := filepath.Join(b.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(oldSecret), 0o600); err != nil {
		b.Fatal(err)
	}
	s, err := NewSharedSecret(file)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if !s.Check(oldSecret) {
			b.Fatal("refused")
		}
	}
}

// BenchmarkES256 is the part of SignerVerify that is the signature itself.
func BenchmarkES256(b *testing.B) {
	key := private(b)
	digest := make([]byte, 32)
	sig, err := ecdsa.SignASN1(rand.Reader, key, digest)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if !ecdsa.VerifyASN1(&key.PublicKey, digest, sig) {
			b.Fatal("refused")
		}
	}
}
