// Package auth gets and checks tokens: a token source per tenant for the APIs of the control plane, a verifier of signed
// tokens by JWKS, and shared bearer secrets for calls inside the deployment.
package auth

import (
	"context"
	"net/http"
	"time"

	"github.com/tidegate/tidegate/shared/tenant"
)

// TokenSource gives bearer tokens of one tenant.
type TokenSource interface {
	// Token returns a token that is good for a while; one request at a time is made for it, callers wait and share it.
	Token(ctx context.Context) (string, error)
	// Invalidate drops a token that was answered with 401, unless a newer one has replaced it already.
	Invalidate(token string)
}

// ForTenant returns the token source of a tenant's auth section: client_credentials or token_exchange (RFC 8693).
func ForTenant(t *tenant.Tenant, hc *http.Client) (TokenSource, error) { panic("stub") }

// Claims are the claims of a verified token.
type Claims struct {
	Issuer   string
	Subject  string
	Audience []string
	ID       string // jti
	Scope    string
	Expiry   time.Time
	IssuedAt time.Time
	All      map[string]any
}

// VerifierConfig says which tokens are good.
type VerifierConfig struct {
	Issuer   string        // required
	JWKSURL  string        // required
	Audience string        // "" = not checked
	Leeway   time.Duration // for clocks that differ; default 30s
}

// Verifier checks signed JWTs by the keys of a JWKS, which it caches and reads anew when an unknown key id appears.
type Verifier struct{}

// NewVerifier returns a verifier; it reads no keys yet.
func NewVerifier(cfg VerifierConfig, hc *http.Client) *Verifier { panic("stub") }

// Verify checks signature, issuer, audience, expiry and issue time. Its error is of kind Unauthenticated if the token is at
// fault, Unavailable if the keys can't be had.
func (v *Verifier) Verify(ctx context.Context, token string) (*Claims, error) { panic("stub") }

// Bearer returns the token of an Authorization header, and whether there is one.
func Bearer(h http.Header) (string, bool) { panic("stub") }

// SharedSecret is a bearer secret read from a file: the first line is sent, every line is accepted, so that it can be
// rotated. The file is read anew when it changes.
type SharedSecret struct{}

// NewSharedSecret reads the file; an error if it is missing, empty, or a line is shorter than 16 bytes.
func NewSharedSecret(file string) (*SharedSecret, error) { panic("stub") }

// Value is the secret to send.
func (s *SharedSecret) Value() string { panic("stub") }

// Check compares in constant time.
func (s *SharedSecret) Check(token string) bool { panic("stub") }

// Transport returns a RoundTripper that adds the secret as a bearer token.
func (s *SharedSecret) Transport(base http.RoundTripper) http.RoundTripper { panic("stub") }
