package idp

import (
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// algorithms are those that a signature may use: asymmetric ones only.
var algorithms = []jose.SignatureAlgorithm{jose.ES256, jose.ES384, jose.ES512, jose.RS256, jose.PS256, jose.EdDSA}

// refusalError says why a token is not good, in EDC's words where they were observed: it is sent to the caller as it is.
type refusalError string

func (r refusalError) Error() string { return string(r) }

const (
	errDecode    refusalError = "Failed to decode token"
	errSignature refusalError = "Token verification failed"
	errIssuer    refusalError = "Token issuer is not as expected"
	errExpired   refusalError = "Token has expired (exp)"
	errNoExpiry  refusalError = "Required expiration time (exp) claim is missing in token"
	errIssuedAt  refusalError = "Issued at (iat) claim is after the current time"
	errNotBefore refusalError = "Current date/time before the not before (nbf) claim in token"
)

// Claims are the verified claims of an access token.
type Claims struct {
	jwt.Claims

	All map[string]any
}

// Scope is the claim scope, or "".
func (c *Claims) Scope() string {
	s, _ := c.All["scope"].(string)
	return s
}

// ClientID is the claim client_id, or "".
func (c *Claims) ClientID() string {
	s, _ := c.All["client_id"].(string)
	return s
}

// Verify checks a token of this provider as the Management API does: signature, iss, exp (required), iat, nbf; not aud.
func (p *Provider) Verify(token string) (*Claims, error) {
	parsed, err := jwt.ParseSigned(token, algorithms)
	if err != nil {
		return nil, errDecode
	}
	claims, all, err := verify(parsed, p.key.public())
	if err != nil {
		return nil, err
	}
	if claims.Issuer != p.issuer {
		return nil, errIssuer
	}
	return &Claims{*claims, all}, checkTimes(claims, p.now())
}

// VerifySignaling checks the token of a callback. keys nil means that the registration named none: the signature is not
// checked then, which is what EDC does.
func (p *Provider) VerifySignaling(token string, keys *jose.JSONWebKeySet) (*Claims, error) {
	parsed, err := jwt.ParseSigned(token, algorithms)
	if err != nil {
		return nil, errDecode
	}
	c := &Claims{}
	if keys == nil {
		if err := parsed.UnsafeClaimsWithoutVerification(&c.Claims, &c.All); err != nil {
			return nil, errDecode
		}
	} else {
		claims, all, err := verify(parsed, keys)
		if err != nil {
			return nil, err
		}
		c.Claims, c.All = *claims, all
	}
	return c, checkTimes(&c.Claims, p.now())
}

func verify(parsed *jwt.JSONWebToken, keys *jose.JSONWebKeySet) (*jwt.Claims, map[string]any, error) {
	candidates := keys.Keys
	if kid := parsed.Headers[0].KeyID; kid != "" {
		candidates = keys.Key(kid)
	}
	for _, k := range candidates {
		var c jwt.Claims
		var all map[string]any
		if parsed.Claims(k.Key, &c, &all) == nil {
			return &c, all, nil
		}
	}
	return nil, nil, errSignature
}

func checkTimes(c *jwt.Claims, now time.Time) error {
	switch {
	case c.Expiry == nil:
		return errNoExpiry
	case !now.Before(c.Expiry.Time()):
		return errExpired
	case c.IssuedAt != nil && c.IssuedAt.Time().After(now.Add(time.Second)):
		return errIssuedAt
	case c.NotBefore != nil && c.NotBefore.Time().After(now.Add(time.Second)):
		return errNotBefore
	}
	return nil
}
