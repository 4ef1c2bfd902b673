// Package auth gets and checks tokens. It has four parts, each usable alone:
//
//   - TokenSource: the bearer tokens of one tenant for the Management and the Identity API, by client credentials
//     (RFC 6749, section 4.4) or by exchange of the workload's token (RFC 8693).
//   - Verifier: checks JWTs that others signed, by their JWKS (RFC 7515, 7517, 7519).
//   - Signer: signs our own JWTs, verifies them again, and publishes the keys.
//   - SharedSecret: one bearer secret for calls inside the deployment.
//
// Secrets stand in files and are read anew when they are needed, so that they can be rotated without a restart. No error
// of this package holds a secret or a token.
package auth

import (
	"context"
	"net/http"

	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/tenant"
)

// The types of a tenant's auth section.
const (
	TypeClientCredentials = "client_credentials"
	TypeTokenExchange     = "token_exchange"
)

// TokenSource gives bearer tokens of one tenant.
type TokenSource interface {
	// Token returns a token that is good for a while; one request at a time is made for it, callers wait and share it.
	Token(ctx context.Context) (string, error)
	// Invalidate drops a token that was answered with 401, unless a newer one has replaced it already.
	Invalidate(token string)
}

// ForTenant returns the token source of a tenant's auth section: client_credentials or token_exchange (RFC 8693). It makes
// no request and reads no file yet. Its error is a problem.Field error about the section. With hc nil a client of its own
// is used; redirects are never followed, since they would carry the secret elsewhere.
//
// Errors of the source are of kind Unavailable if the token endpoint cannot be reached, is overloaded or fails, or a
// secret's file cannot be read; Upstream if it refuses the client or its answer makes no sense. Both are worth a retry:
// the secret is read anew each time, so a rotation mends a refusal.
func ForTenant(t *tenant.Tenant, hc *http.Client) (TokenSource, error) {
	g, err := grantOf(t, hc)
	if err != nil {
		return nil, err
	}
	return newSource(g.fetch), nil
}

func grantOf(t *tenant.Tenant, hc *http.Client) (*grant, error) {
	if err := absoluteURL("auth.tokenEndpoint", t.Auth.TokenEndpoint); err != nil {
		return nil, err
	}
	switch t.Auth.Type {
	case TypeClientCredentials:
		if t.Auth.ClientID == "" {
			return nil, problem.Field("auth.clientId", "is missing: %s needs it", t.Auth.Type)
		}
		if t.Auth.ClientSecretFile == "" {
			return nil, problem.Field("auth.clientSecretFile", "is missing: %s needs it", t.Auth.Type)
		}
		return clientCredentials(t.Auth, hc), nil
	case TypeTokenExchange:
		if t.Auth.SubjectTokenFile == "" {
			return nil, problem.Field("auth.subjectTokenFile", "is missing: %s needs it", t.Auth.Type)
		}
		return tokenExchange(t.Auth, t.ParticipantContextID, hc), nil
	}
	return nil, problem.Field("auth.type", "is %q, want %s or %s", t.Auth.Type, TypeClientCredentials, TypeTokenExchange)
}
