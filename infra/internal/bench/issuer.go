package bench

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// algorithm is how the identity provider signs the control planes' tokens. RS256 with 2,048 bits is what most do by default.
type algorithm = jose.SignatureAlgorithm

const (
	rs256 = jose.RS256
	es256 = jose.ES256
	eddsa = jose.EdDSA
)

var algorithms = []algorithm{rs256, es256, eddsa}

// issuer is the identity provider of all control planes, with a key of each algorithm.
type issuer struct {
	url     string
	signers map[algorithm]jose.Signer
	jwks    []byte
	last    atomic.Int64 // number of the token that was signed last
}

// tokenLife is longer than the bench runs.
const tokenLife = time.Hour

func newIssuer(url string) (*issuer, error) {
	i := &issuer{url: url, signers: map[algorithm]jose.Signer{}}
	var set jose.JSONWebKeySet
	for _, alg := range algorithms {
		key, err := newKey(alg)
		if err != nil {
			return nil, fmt.Errorf("identity provider: %w", err)
		}
		i.signers[alg], err = jose.NewSigner(
			jose.SigningKey{Algorithm: alg, Key: jose.JSONWebKey{Key: key, KeyID: string(alg)}}, (&jose.SignerOptions{}).WithType("JWT"))
		if err != nil {
			return nil, fmt.Errorf("identity provider: %w", err)
		}
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: key.Public(), KeyID: string(alg), Algorithm: string(alg), Use: "sig"})
	}
	var err error
	if i.jwks, err = json.Marshal(set); err != nil {
		return nil, fmt.Errorf("identity provider: %w", err)
	}
	return i, nil
}

func newKey(alg algorithm) (crypto.Signer, error) {
	switch alg {
	case rs256:
		return rsa.GenerateKey(rand.Reader, 2048)
	case es256:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	default:
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	}
}

// token is a signed token and its id, which no other one has.
type token struct{ compact, id string }

// tokenID makes the id of a token: always of the same length, so that it can be put in place of another one.
func tokenID(n int64) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", n) }

// token signs a control plane's token, with what those of Keycloak hold.
func (i *issuer) token(alg algorithm) (token, error) {
	now := time.Now()
	t := token{id: tokenID(i.last.Add(1))}
	payload, err := json.Marshal(map[string]any{
		"iss": i.url, "sub": tokenSubject, "azp": tokenSubject, "typ": "Bearer", "aud": "tidegate", "acr": "1", "scope": "email profile",
		"email_verified": false, "iat": now.Unix(), "exp": now.Add(tokenLife).Unix(), "jti": t.id,
	})
	if err != nil {
		return t, fmt.Errorf("token: %w", err)
	}
	jws, err := i.signers[alg].Sign(payload)
	if err != nil {
		return t, fmt.Errorf("token: %w", err)
	}
	t.compact, err = jws.CompactSerialize()
	return t, err
}

// sign makes n tokens, by all cores. It takes about a millisecond each with RS256: the identity provider is not what is measured.
func (i *issuer) sign(alg algorithm, n int) ([]token, error) {
	var (
		out    = make([]token, n)
		next   atomic.Int64
		all    sync.WaitGroup
		faults = make([]error, runtime.GOMAXPROCS(0))
	)
	for w := range faults {
		all.Go(func() {
			for faults[w] == nil {
				at := int(next.Add(1)) - 1
				if at >= n {
					return
				}
				out[at], faults[w] = i.token(alg)
			}
		})
	}
	all.Wait()
	for _, err := range faults {
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}
