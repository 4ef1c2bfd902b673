package did_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/tidegate/tidegate/shared/did"
	"github.com/tidegate/tidegate/shared/problem"
)

// host is a web host of one participant's DID document.
type host struct {
	*httptest.Server
	did   string
	calls atomic.Int64
	mu    sync.Mutex
	serve http.HandlerFunc
}

func newHost(t *testing.T) *host {
	t.Helper()
	h := &host{}
	h.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.calls.Add(1)
		h.mu.Lock()
		serve := h.serve
		h.mu.Unlock()
		if serve == nil {
			http.NotFound(w, r)
			return
		}
		serve(w, r)
	}))
	t.Cleanup(h.Close)
	h.did = "did:web:" + strings.Replace(strings.TrimPrefix(h.URL, "https://"), ":", "%3A", 1) + ":participants:c"
	return h
}

func (h *host) serves(f http.HandlerFunc) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.serve = f
}

// publishes makes the host serve a document with keys by their fragments.
func (h *host) publishes(keys map[string]crypto.PublicKey) {
	doc := document(h.did, keys)
	h.serves(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/participants/c/did.json" {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write(doc)
	})
}

func document(id string, keys map[string]crypto.PublicKey) []byte {
	var methods []map[string]any
	for name, k := range keys {
		methods = append(methods, map[string]any{"id": name, "type": "JsonWebKey2020", "controller": id, "publicKeyJwk": jose.JSONWebKey{Key: k}})
	}
	b, _ := json.Marshal(map[string]any{"@context": []string{"https://www.w3.org/ns/did/v1"}, "id": id, "verificationMethod": methods, "authentication": []string{}})
	return b
}

func (h *host) resolver(t *testing.T, o did.Options) *did.Resolver {
	t.Helper()
	pool := x509.NewCertPool()
	pool.AddCert(h.Certificate())
	o.TLS, o.AllowPrivate = &tls.Config{RootCAs: pool}, true
	r := did.NewResolver(o)
	t.Cleanup(r.Close)
	return r
}

func ecKey(t *testing.T, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func sign(t *testing.T, alg jose.SignatureAlgorithm, key any, kid string, claims map[string]any) string {
	t.Helper()
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: jose.JSONWebKey{Key: key, KeyID: kid}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	b, _ := json.Marshal(claims)
	jws, err := s.Sign(b)
	if err != nil {
		t.Fatal(err)
	}
	text, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func claims(id string) map[string]any {
	return map[string]any{"iss": id, "sub": id, "iat": time.Now().Unix(), "exp": time.Now().Add(time.Minute).Unix(), "jti": rand.Text()}
}

func assertion(t *testing.T, token string) *did.Assertion {
	t.Helper()
	a, err := did.ParseAssertion(token)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestASignatureOfAKeyOfTheDocumentHolds(t *testing.T) {
	h := newHost(t)
	p256, p384 := ecKey(t, elliptic.P256()), ecKey(t, elliptic.P384())
	edPub, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	h.publishes(map[string]crypto.PublicKey{"#a": &p256.PublicKey, h.did + "#b": &p384.PublicKey, "c": edPub})
	r := h.resolver(t, did.Options{})
	for name, token := range map[string]string{
		"P-256, whole id against a relative one": sign(t, jose.ES256, p256, h.did+"#a", claims(h.did)),
		"P-256, the fragment":                    sign(t, jose.ES256, p256, "#a", claims(h.did)),
		"P-384, the bare name":                   sign(t, jose.ES384, p384, "b", claims(h.did)),
		"Ed25519":                                sign(t, jose.EdDSA, ed, h.did+"#c", claims(h.did)),
	} {
		if err := r.Check(t.Context(), h.did, assertion(t, token)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := h.calls.Load(); n != 1 {
		t.Errorf("the document was fetched %d times", n)
	}
}

func TestASignatureOfNoKeyOfTheDocumentIsRefused(t *testing.T) {
	h := newHost(t)
	key, other := ecKey(t, elliptic.P256()), ecKey(t, elliptic.P256())
	p384 := ecKey(t, elliptic.P384())
	h.publishes(map[string]crypto.PublicKey{"#a": &key.PublicKey, "#b": &p384.PublicKey})
	r := h.resolver(t, did.Options{})
	for name, token := range map[string]string{
		"another key under the name":  sign(t, jose.ES256, other, h.did+"#a", claims(h.did)),
		"an unknown name":             sign(t, jose.ES256, key, h.did+"#z", claims(h.did)),
		"the name of another DID":     sign(t, jose.ES256, key, "did:web:other.example#a", claims(h.did)),
		"the name of another's key":   sign(t, jose.ES256, key, h.did+"#b", claims(h.did)),
		"a name that is the DID":      sign(t, jose.ES256, key, h.did, claims(h.did)),
		"a name with two fragments":   sign(t, jose.ES256, key, h.did+"#a#a", claims(h.did)),
		"a name that is only a mark":  sign(t, jose.ES256, key, "#", claims(h.did)),
		"a name with the DID's start": sign(t, jose.ES256, key, h.did+"x#a", claims(h.did)),
	} {
		if err := r.Check(t.Context(), h.did, assertion(t, token)); !problem.Is(err, problem.Unauthenticated) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := h.calls.Load(); n != 1 {
		t.Errorf("the document was fetched %d times, though the last time was just now", n)
	}
}

func TestWhatIsNoAssertionIsRefused(t *testing.T) {
	key := ecKey(t, elliptic.P256())
	const id = "did:web:c.example"
	with := func(name string, v any) map[string]any {
		c := maps.Clone(claims(id))
		c[name] = v
		return c
	}
	for name, token := range map[string]string{
		"no JWT":               "abc",
		"empty":                "",
		"none":                 "eyJhbGciOiJub25lIiwia2lkIjoiYSJ9.e30.",
		"a shared secret":      sign(t, jose.HS256, []byte(strings.Repeat("k", 32)), "a", claims(id)),
		"no key id":            sign(t, jose.ES256, key, "", claims(id)),
		"ended":                sign(t, jose.ES256, key, "a", with("exp", time.Now().Add(-time.Minute).Unix())),
		"without an end":       sign(t, jose.ES256, key, "a", with("exp", nil)),
		"not begun":            sign(t, jose.ES256, key, "a", with("nbf", time.Now().Add(time.Hour).Unix())),
		"made in the future":   sign(t, jose.ES256, key, "a", with("iat", time.Now().Add(time.Hour).Unix())),
		"a subject of no text": sign(t, jose.ES256, key, "a", with("sub", 7)),
		"far too long":         sign(t, jose.ES256, key, "a", with("token", strings.Repeat("x", 20<<10))),
	} {
		if _, err := did.ParseAssertion(token); !problem.Is(err, problem.Unauthenticated) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestKeysRotate(t *testing.T) {
	h := newHost(t)
	old, fresh := ecKey(t, elliptic.P256()), ecKey(t, elliptic.P256())
	h.publishes(map[string]crypto.PublicKey{"#old": &old.PublicKey})
	r := h.resolver(t, did.Options{Again: time.Nanosecond})
	if err := r.Check(t.Context(), h.did, assertion(t, sign(t, jose.ES256, old, h.did+"#old", claims(h.did)))); err != nil {
		t.Fatal(err)
	}
	h.publishes(map[string]crypto.PublicKey{"#new": &fresh.PublicKey})
	if err := r.Check(t.Context(), h.did, assertion(t, sign(t, jose.ES256, fresh, h.did+"#new", claims(h.did)))); err != nil {
		t.Errorf("a new key under a new name: %v", err)
	}
	if err := r.Check(t.Context(), h.did, assertion(t, sign(t, jose.ES256, old, h.did+"#old", claims(h.did)))); !problem.Is(err, problem.Unauthenticated) {
		t.Errorf("the withdrawn key: %v", err)
	}
	h.publishes(map[string]crypto.PublicKey{"#new": &old.PublicKey})
	if err := r.Check(t.Context(), h.did, assertion(t, sign(t, jose.ES256, old, h.did+"#new", claims(h.did)))); err != nil {
		t.Errorf("a new key under the old name: %v", err)
	}
}

func TestWhatAHostMayAnswer(t *testing.T) {
	for name, tt := range map[string]struct {
		serve http.HandlerFunc
		kind  problem.Kind
	}{
		"no such document": {http.NotFound, problem.Upstream},
		"gone":             {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusGone) }, problem.Upstream},
		"a passing fault":  {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }, problem.Unavailable},
		"too many":         {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTooManyRequests) }, problem.Unavailable},
		"a redirect":       {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/x", http.StatusFound) }, problem.Upstream},
		"no JSON":          {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) }, problem.Upstream},
		"another's":        {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"id":"did:web:x.example"}`)) }, problem.Upstream},
		"without an end": {func(w http.ResponseWriter, _ *http.Request) {
			for range 200 {
				_, _ = w.Write([]byte(strings.Repeat(" ", 1024)))
			}
		}, problem.Upstream},
		"a part": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write([]byte(`{"id":`))
			panic(http.ErrAbortHandler)
		}, problem.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			h.serves(tt.serve)
			r := h.resolver(t, did.Options{})
			for range 3 { // the failure is remembered
				if _, err := r.Resolve(t.Context(), h.did); problem.KindOf(err) != tt.kind {
					t.Errorf("%v", err)
				}
			}
			if n := h.calls.Load(); n != 1 {
				t.Errorf("the host was asked %d times", n)
			}
		})
	}
}

func TestAHostThatIsAwayDoesNotTakeTheKeysAwayButOneThatSaysSoDoes(t *testing.T) {
	h := newHost(t)
	key := ecKey(t, elliptic.P256())
	h.publishes(map[string]crypto.PublicKey{"#a": &key.PublicKey})
	r := h.resolver(t, did.Options{TTL: time.Nanosecond, Again: time.Nanosecond})
	check := func() error {
		return r.Check(t.Context(), h.did, assertion(t, sign(t, jose.ES256, key, "#a", claims(h.did))))
	}
	if err := check(); err != nil {
		t.Fatal(err)
	}
	h.serves(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	if err := check(); err != nil {
		t.Errorf("while the host is away: %v", err)
	}
	h.serves(http.NotFound)
	if err := check(); !problem.Is(err, problem.Unauthenticated) {
		t.Errorf("when the document is gone: %v", err)
	}
}

func TestThePrivateNetworkIsNotAskedUnlessAllowed(t *testing.T) {
	h := newHost(t)
	h.publishes(nil)
	r := did.NewResolver(did.Options{})
	t.Cleanup(r.Close)
	for _, id := range []string{h.did, strings.Replace(h.did, "127.0.0.1", "localhost", 1)} {
		if _, err := r.Resolve(t.Context(), id); !problem.Is(err, problem.Upstream) {
			t.Errorf("%s: %v", id, err)
		}
	}
	if n := h.calls.Load(); n != 0 {
		t.Errorf("the host was asked %d times", n)
	}
}

func TestACertificateThatNobodyVouchesForIsRefused(t *testing.T) {
	h := newHost(t)
	h.Config.ErrorLog = log.New(io.Discard, "", 0)
	h.publishes(nil)
	r := did.NewResolver(did.Options{AllowPrivate: true})
	t.Cleanup(r.Close)
	if _, err := r.Resolve(t.Context(), h.did); err == nil || h.calls.Load() != 0 {
		t.Errorf("%v, %d calls", err, h.calls.Load())
	}
}

func TestManyWhoAskAtOnceShareOneFetch(t *testing.T) {
	h := newHost(t)
	release := make(chan struct{})
	doc := document(h.did, nil)
	h.serves(func(w http.ResponseWriter, _ *http.Request) {
		<-release
		_, _ = w.Write(doc)
	})
	r := h.resolver(t, did.Options{})
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Resolve(gone, h.did); !problem.Is(err, problem.Timeout) { // its fetch goes on
		t.Errorf("one that has gone: %v", err)
	}
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if _, err := r.Resolve(t.Context(), h.did); err != nil {
				t.Error(err)
			}
		})
	}
	close(release)
	all.Wait()
	if n := h.calls.Load(); n != 1 {
		t.Errorf("the host was asked %d times", n)
	}
}

func TestADocumentMustBeClear(t *testing.T) {
	const id = "did:web:c.example"
	key := ecKey(t, elliptic.P256())
	jwk, _ := jose.JSONWebKey{Key: &key.PublicKey}.MarshalJSON()
	private, _ := jose.JSONWebKey{Key: key}.MarshalJSON()
	p521, _ := jose.JSONWebKey{Key: &ecKey(t, elliptic.P521()).PublicKey}.MarshalJSON()
	of := func(methods string) []byte {
		return fmt.Appendf(nil, `{"id":%q,"verificationMethod":[%s]}`, id, methods)
	}
	m := func(name string, jwk []byte) string { return fmt.Sprintf(`{"id":%q,"publicKeyJwk":%s}`, name, jwk) }
	for name, body := range map[string][]byte{
		"two of one id":  of(m("#a", jwk) + "," + m(id+"#a", jwk)),
		"too deep":       []byte(`{"id":"` + id + `","x":` + strings.Repeat("[", 20) + strings.Repeat("]", 20) + `}`),
		"more than one":  append(of(""), of("")...),
		"a list":         []byte(`[]`),
		"nothing":        nil,
		"too many":       of(strings.TrimSuffix(strings.Repeat(`{"id":"#x"},`, 65), ",")),
		"broken":         of("")[:10],
		"methods a text": []byte(`{"id":"` + id + `","verificationMethod":"x"}`),
	} {
		if _, err := did.Decode(id, body); !problem.Is(err, problem.Upstream) {
			t.Errorf("%s: %v", name, err)
		}
	}
	d, err := did.Decode(id, of(strings.Join([]string{
		m("#a", jwk), m("#private", private), m("#p521", p521), m("#none", []byte("null")), m("did:web:other.example#x", jwk), m("", jwk),
	}, ",")))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{"#a": true, "a": true, id + "#a": true, "#private": false, "#p521": false, "#none": false, "#x": false, "": false} {
		if _, ok := d.Key(name); ok != want {
			t.Errorf("key %q: %v", name, ok)
		}
	}
}

func FuzzDecode(f *testing.F) {
	const id = "did:web:c.example"
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(document(id, map[string]crypto.PublicKey{"#a": &key.PublicKey}))
	f.Add([]byte(`{"id":"did:web:c.example","verificationMethod":[{"id":"#a","publicKeyJwk":{"kty":"OKP","crv":"Ed25519","x":"AA"}}]}`))
	f.Add([]byte(`{"id":"did:web:c.example","verificationMethod":null}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		d, err := did.Decode(id, body)
		if err != nil {
			if !problem.Is(err, problem.Upstream) {
				t.Errorf("%v", err)
			}
			return
		}
		if d.ID != id {
			t.Errorf("a document of %q", d.ID)
		}
	})
}

func FuzzParseAssertion(f *testing.F) {
	f.Add("a.b.c")
	f.Add("eyJhbGciOiJFUzI1NiIsImtpZCI6ImEifQ.eyJleHAiOjQxMDI0NDQ4MDB9.AAAA")
	f.Fuzz(func(t *testing.T, token string) {
		if a, err := did.ParseAssertion(token); err == nil && (a.Claims == nil || a.Claims.Expiry.Before(time.Now().Add(-time.Minute))) {
			t.Errorf("accepted %q", token)
		}
	})
}
