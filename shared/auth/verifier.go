package auth

import (
	"context"
	"net/http"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// defaultLeeway is what clocks may differ by if the configuration does not say.
const defaultLeeway = 30 * time.Second

// algorithms are the signatures that a Verifier takes. There is no "none" and no HMAC: a public key must never be taken
// for a shared secret.
var algorithms = []jose.SignatureAlgorithm{
	jose.ES256, jose.ES384, jose.ES512, jose.EdDSA, jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512,
}

// VerifierConfig says which tokens are good.
type VerifierConfig struct {
	Issuer   string        // required, but for AnyIssuer
	JWKSURL  string        // required, but for JWKS
	Audience string        // that a token must name; required, but for AnyAudience
	Leeway   time.Duration // for clocks that differ; default 30s

	AnyIssuer   bool   // a token must name an issuer, whichever: the keys alone tell whose it is
	AnyAudience bool   // a token may be meant for somebody else
	JWKS        string // the keys themselves, in place of a URL
}

// Verifier checks signed JWTs by the keys of a JWKS, which it caches and reads anew when an unknown key id appears.
type Verifier struct {
	cfg  VerifierConfig
	keys *keySet
}

// NewVerifier returns a verifier; it reads no keys yet. With hc nil a client of its own is used.
func NewVerifier(cfg VerifierConfig, hc *http.Client) *Verifier {
	if cfg.Leeway <= 0 {
		cfg.Leeway = defaultLeeway
	}
	v := &Verifier{cfg: cfg, keys: newKeySet(cfg.JWKSURL, hc)}
	if cfg.JWKS != "" {
		v.keys.fixed = true
		v.keys.keys, v.keys.failed = parseJWKS([]byte(cfg.JWKS))
	}
	return v
}

// CheckJWKS tells whether a set holds a public signature key that is usable.
func CheckJWKS(set []byte) error {
	_, err := parseJWKS(set)
	return err
}

// Verify checks signature, issuer, audience, expiry and issue time. Its error is of kind Unauthenticated if the token is at
// fault, Unavailable (Timeout if ctx ended) if the keys can't be had.
func (v *Verifier) Verify(ctx context.Context, token string) (*Claims, error) {
	t, err := ReadToken(token)
	if err != nil {
		return nil, err
	}
	return v.VerifyToken(ctx, t)
}

// VerifyToken is Verify for a token that has been read.
func (v *Verifier) VerifyToken(ctx context.Context, t *Token) (*Claims, error) {
	if err := v.keys.verify(ctx, t.jws); err != nil {
		return nil, err
	}
	c := t.claims
	err := c.inTime(time.Now(), v.cfg.Leeway)
	switch {
	case err != nil:
		return nil, err
	case c.Issuer == "" || (!v.cfg.AnyIssuer && c.Issuer != v.cfg.Issuer):
		return nil, refused("its claim iss names another issuer")
	case !v.cfg.AnyAudience && (v.cfg.Audience == "" || !c.HasAudience(v.cfg.Audience)):
		return nil, refused("its claim aud does not name its receiver")
	}
	return c, nil
}
