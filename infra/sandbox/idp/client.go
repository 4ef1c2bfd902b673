package idp

import (
	"context"
	"maps"
	"time"

	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// publicClient stands for callers that authenticate by a subject token alone.
const publicClient = "urn:tidegate:sandbox:workload"

// client is an op.Client that knows no browser: only the token endpoint is served.
type client struct {
	id     string
	public bool
}

var _ op.Client = client{}

func (c client) GetID() string                      { return c.id }
func (client) RedirectURIs() []string               { return nil }
func (client) PostLogoutRedirectURIs() []string     { return nil }
func (client) ApplicationType() op.ApplicationType  { return op.ApplicationTypeWeb }
func (client) ResponseTypes() []oidc.ResponseType   { return nil }
func (client) LoginURL(string) string               { return "" }
func (client) AccessTokenType() op.AccessTokenType  { return op.AccessTokenTypeJWT }
func (client) IDTokenLifetime() time.Duration       { return 0 }
func (client) DevMode() bool                        { return false }
func (client) IsScopeAllowed(string) bool           { return true }
func (client) IDTokenUserinfoClaimsAssertion() bool { return false }
func (client) ClockSkew() time.Duration             { return 0 }
func (client) RestrictAdditionalIdTokenScopes() func([]string) []string { //nolint:staticcheck // the name is the interface's
	return func(s []string) []string { return s }
}

func (client) RestrictAdditionalAccessTokenScopes() func([]string) []string {
	return func(s []string) []string { return s }
}

func (c client) AuthMethod() oidc.AuthMethod {
	if c.public {
		return oidc.AuthMethodNone
	}
	return oidc.AuthMethodPost
}

func (c client) GrantTypes() []oidc.GrantType {
	if c.public {
		return []oidc.GrantType{oidc.GrantTypeTokenExchange}
	}
	return []oidc.GrantType{oidc.GrantTypeClientCredentials, oidc.GrantTypeTokenExchange}
}

// claimStorage is the part of op.Storage that CreateJWT uses: the key, and the private claims. EDC reads scope as one
// space-separated string, which the library leaves out of access tokens by itself. Any other method panics on the nil
// interface, which no code path reaches.
type claimStorage struct {
	op.Storage

	key     signingKey
	scope   string
	private map[string]any // further claims
}

func (s claimStorage) SigningKey(context.Context) (op.SigningKey, error) { return s.key, nil }

func (s claimStorage) GetPrivateClaimsFromRequest(context.Context, op.TokenRequest, []string) (map[string]any, error) {
	claims := map[string]any{}
	maps.Copy(claims, s.private)
	if s.scope != "" {
		claims["scope"] = s.scope
	}
	return claims, nil
}
