package did

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/tidegate/tidegate/shared/auth"
	"github.com/tidegate/tidegate/shared/problem"
)

// maxAssertion bounds a JWT, in bytes: it carries an access token.
const maxAssertion = 16 << 10

// leeway is what clocks of participants may differ by.
const leeway = 30 * time.Second

var algorithms = []jose.SignatureAlgorithm{jose.ES256, jose.ES384, jose.EdDSA}

// Assertion is a JWT that names a key of a DID document and is well-formed and within its times. Its signature is not checked
// until Resolver.Check has done so, and its claims are worth nothing until then.
type Assertion struct {
	Claims *auth.Claims

	jws *jose.JSONWebSignature
}

// ParseAssertion reads a JWT: its algorithm must be ES256, ES384 or EdDSA, its header must name a key (kid), its claims exp (and
// iat, nbf if there) must hold. Its error is of kind Unauthenticated.
func ParseAssertion(token string) (*Assertion, error) {
	if len(token) > maxAssertion {
		return nil, refused("it is too long")
	}
	jws, err := jose.ParseSignedCompact(token, algorithms)
	if err != nil || len(jws.Signatures) != 1 || jws.Signatures[0].Header.KeyID == "" {
		return nil, refused("it is no JWT with an accepted algorithm and a key id")
	}
	c, err := auth.ReadClaims(jws.UnsafePayloadWithoutVerification(), time.Now(), leeway)
	if err != nil {
		return nil, err
	}
	return &Assertion{Claims: c, jws: jws}, nil
}

// Check verifies that a key of the DID made the assertion's signature. The error is of kind Unauthenticated if none did, or the
// DID is none or has no document; Unavailable or Timeout if that can't be found out now.
func (r *Resolver) Check(ctx context.Context, id string, a *Assertion) error {
	doc, err := r.resolve(ctx, id, false)
	if err == nil && a.signedBy(doc) {
		return nil
	}
	if err == nil { // the key may be a new one, under a new id or, with careless owners, under the old one
		var again *Document
		if again, err = r.resolve(ctx, id, true); err == nil && again != doc && a.signedBy(again) {
			return nil
		}
	}
	switch {
	case err == nil:
		return refused("its signature is of no key of the DID")
	case problem.KindOf(err).Temporary() && !problem.Is(err, problem.Upstream):
		return err
	}
	return problem.Wrap(problem.Unauthenticated, err, "the token is refused: the DID has no document that is usable")
}

func (a *Assertion) signedBy(doc *Document) bool {
	h := a.jws.Signatures[0].Header
	key, ok := doc.Key(h.KeyID)
	if !ok || h.Algorithm != algorithmOf(key) {
		return false
	}
	_, err := a.jws.Verify(key)
	return err == nil
}

// algorithmOf is the one algorithm that goes with a key.
func algorithmOf(key crypto.PublicKey) string {
	switch k := key.(type) {
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P384() {
			return string(jose.ES384)
		}
		return string(jose.ES256)
	case ed25519.PublicKey:
		return string(jose.EdDSA)
	}
	return ""
}

func refused(why string) error {
	return problem.New(problem.Unauthenticated, "the token is refused: %s", why)
}
