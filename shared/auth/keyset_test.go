package auth

import (
	"crypto/ecdsa"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/tidegate/tidegate/shared/problem"
)

func TestARotatedKeyIsFoundAtOnce(t *testing.T) {
	first, second := ecKey(t, "k1"), ecKey(t, "k2")
	i := newIssuer(t, first)
	v := i.verifier()
	if _, err := v.Verify(t.Context(), sign(t, jose.ES256, first, goodClaims(nil))); err != nil {
		t.Fatal(err)
	}
	i.publish(t, second)
	if _, err := v.Verify(t.Context(), sign(t, jose.ES256, second, goodClaims(nil))); err != nil {
		t.Errorf("the new key: %v", err)
	}
	if _, err := v.Verify(t.Context(), sign(t, jose.ES256, first, goodClaims(nil))); !problem.Is(err, problem.Unauthenticated) {
		t.Errorf("the withdrawn key: %v", err)
	}
}

func TestAKeyReplacedUnderTheSameIDIsFoundAtOnce(t *testing.T) {
	first, second := ecKey(t, "k1"), ecKey(t, "k1")
	i := newIssuer(t, first)
	v := i.verifier()
	if _, err := v.Verify(t.Context(), sign(t, jose.ES256, first, goodClaims(nil))); err != nil {
		t.Fatal(err)
	}
	i.publish(t, second)
	if _, err := v.Verify(t.Context(), sign(t, jose.ES256, second, goodClaims(nil))); err != nil {
		t.Errorf("the new key: %v", err)
	}
}

func TestATokenWithoutKeyIDIsTriedWithEveryKey(t *testing.T) {
	first, second := ecKey(t, "k1"), ecKey(t, "k2")
	v := newIssuer(t, first, second).verifier()
	token := sign(t, jose.ES256, second.Key.(*ecdsa.PrivateKey), goodClaims(nil))
	if _, err := v.Verify(t.Context(), token); err != nil {
		t.Error(err)
	}
}

func TestGarbageTokensDoNotHammerTheIssuer(t *testing.T) {
	key := ecKey(t, "k1")
	i := newIssuer(t, key)
	v := i.verifier()
	unknown := sign(t, jose.ES256, ecKey(t, "unknown"), goodClaims(nil))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				if _, err := v.Verify(t.Context(), unknown); !problem.Is(err, problem.Unauthenticated) {
					t.Errorf("got %v", err)
					return
				}
			}
		})
	}
	wg.Wait()
	if n := i.reads.Load(); n > refetchBurst+2 { // two more would take ten seconds
		t.Errorf("400 garbage tokens caused %d reads of the keys", n)
	}
	if _, err := v.Verify(t.Context(), sign(t, jose.ES256, key, goodClaims(nil))); err != nil {
		t.Errorf("a good token afterwards: %v", err)
	}
}

func TestKeysThatCannotBeHadAreAPassingFault(t *testing.T) {
	key := ecKey(t, "k1")
	i := newIssuer(t, key)
	v := i.verifier()
	good := sign(t, jose.ES256, key, goodClaims(nil))
	i.status.Store(http.StatusBadGateway)
	if _, err := v.Verify(t.Context(), good); !problem.Is(err, problem.Unavailable) {
		t.Errorf("while the issuer is down: %v", err)
	}
	i.status.Store(http.StatusOK)
	if _, err := v.Verify(t.Context(), good); err != nil {
		t.Errorf("when it is back: %v", err)
	}
	i.status.Store(http.StatusBadGateway)
	if _, err := v.Verify(t.Context(), good); err != nil {
		t.Errorf("down again, with keys that are fresh: %v", err)
	}
	if _, err := v.Verify(t.Context(), sign(t, jose.ES256, ecKey(t, "k2"), goodClaims(nil))); !problem.Is(err, problem.Unavailable) {
		t.Errorf("a token that a new key might have signed: %v", err)
	}
}

func TestAWaiterForKeysKeepsItsOwnPatience(t *testing.T) {
	block := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-block }))
	defer s.Close()
	defer close(block)
	v := NewVerifier(VerifierConfig{Issuer: testIssuer, JWKSURL: s.URL}, nil)
	ctx, cancel := contextWithTimeout(t, 50*time.Millisecond)
	defer cancel()
	if _, err := v.Verify(ctx, sign(t, jose.ES256, ecKey(t, "k1"), goodClaims(nil))); !problem.Is(err, problem.Timeout) {
		t.Errorf("got %v", err)
	}
}

func TestKeySetsWithoutAUsableKeyAreNoKeySets(t *testing.T) {
	for name, body := range map[string]string{
		"empty": `{"keys":[]}`, "no keys": `{}`, "no JSON": `<html>`, "a list": `[]`,
		"keys of unknown types only": `{"keys":[{"kty":"OKP","crv":"Ed448","x":"AAAA"},{"kty":"oct","k":"AAAA"},7,null]}`,
	} {
		if keys, err := parseJWKS([]byte(body)); err == nil {
			t.Errorf("%s: got %v", name, keys)
		}
	}
}
