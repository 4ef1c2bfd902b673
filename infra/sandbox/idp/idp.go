// Package idp is the identity provider of the sandbox dataspace: an OAuth2 token endpoint (client_credentials, RFC 8693 token
// exchange), discovery and JWKS. Routing, parsing, client authentication, error bodies and JWTs are zitadel/oidc's; this
// package decides who may get which sub and scope, as EDC's Management API and Data Plane Signaling need them:
// sub is the participant context id for applications and the client or data plane id for planes.
package idp

import (
	"context"
	"crypto/subtle"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/uuid"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"

	"github.com/tidegate/tidegate/infra/sandbox/config"
)

// Provider issues and checks tokens.
type Provider struct {
	op.UnimplementedServer

	issuer   string
	key      signingKey
	clients  map[string]*config.Client
	exchange config.Exchange
	ttl      time.Duration
	hc       *http.Client
	now      func() time.Time
}

var _ op.Server = (*Provider)(nil)

// New returns a provider for all clients of the configuration. The key lives in keyFile, made there at the first start, so
// that tokens outlive a restart.
func New(c *config.Config, keyFile string, hc *http.Client) (*Provider, error) {
	key, err := loadKey(keyFile, jose.SignatureAlgorithm(c.IDP.Algorithm))
	if err != nil {
		return nil, err
	}
	p := &Provider{
		issuer:   c.PublicURL + "/idp",
		key:      key,
		clients:  map[string]*config.Client{},
		exchange: c.IDP.Exchange,
		ttl:      c.IDP.TokenTTL,
		hc:       hc,
		now:      time.Now,
	}
	for i := range c.IDP.Clients {
		p.clients[c.IDP.Clients[i].ID] = &c.IDP.Clients[i]
	}
	for i := range c.Participants {
		for j := range c.Participants[i].Clients {
			cl := &c.Participants[i].Clients[j]
			p.clients[cl.ID] = cl
		}
	}
	return p, nil
}

// Issuer is the iss of every token.
func (p *Provider) Issuer() string { return p.issuer }

// TokenURL is the token endpoint.
func (p *Provider) TokenURL() string { return p.issuer + "/oauth/token" }

// Handler serves discovery, keys and tokens; mount it with the prefix /idp stripped.
func (p *Provider) Handler() http.Handler {
	return op.RegisterServer(p, op.Endpoints{
		Token:   op.NewEndpoint("oauth/token"),
		JwksURI: op.NewEndpoint("keys"),
	}, op.WithHTTPMiddleware(limitBody, anonymousExchange))
}

func limitBody(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
		next.ServeHTTP(w, r)
	})
}

// anonymousExchange gives token exchanges that name no client the public client: jwtlet authenticates the workload by its
// subject token only, while the library wants a client_id on every request.
func anonymousExchange(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && r.ParseForm() == nil && r.Form.Get("grant_type") == string(oidc.GrantTypeTokenExchange) {
			if _, _, basic := r.BasicAuth(); !basic && r.Form.Get("client_id") == "" {
				r.Form.Set("client_id", publicClient)
			}
			if r.Form.Get("subject_token_type") == "" {
				r.Form.Set("subject_token_type", string(oidc.JWTTokenType)) // jwtlet does not ask for it
			}
		}
		next.ServeHTTP(w, r)
	})
}

// Health answers ok.
func (p *Provider) Health(context.Context, *op.Request[struct{}]) (*op.Response, error) {
	return op.NewResponse(op.Status{Status: "ok"}), nil
}

// Ready answers ok.
func (p *Provider) Ready(ctx context.Context, r *op.Request[struct{}]) (*op.Response, error) {
	return p.Health(ctx, r)
}

// Discovery answers the configuration of the provider.
func (p *Provider) Discovery(context.Context, *op.Request[struct{}]) (*op.Response, error) {
	scopes := []string{}
	for _, c := range p.clients {
		scopes = append(scopes, c.Scopes...)
	}
	slices.Sort(scopes)
	return op.NewResponse(&oidc.DiscoveryConfiguration{
		Issuer:                            p.issuer,
		TokenEndpoint:                     p.TokenURL(),
		JwksURI:                           p.issuer + "/keys",
		ScopesSupported:                   slices.Compact(scopes),
		GrantTypesSupported:               []oidc.GrantType{oidc.GrantTypeClientCredentials, oidc.GrantTypeTokenExchange},
		TokenEndpointAuthMethodsSupported: []oidc.AuthMethod{oidc.AuthMethodBasic, oidc.AuthMethodPost},
		IDTokenSigningAlgValuesSupported:  []string{string(p.key.alg)},
		SubjectTypesSupported:             []string{"public"},
		ResponseTypesSupported:            []string{},
		ClaimsSupported:                   []string{"iss", "sub", "aud", "iat", "nbf", "exp", "jti", "scope", "client_id", "act"},
	}), nil
}

// Keys answers the public key.
func (p *Provider) Keys(context.Context, *op.Request[struct{}]) (*op.Response, error) {
	return op.NewResponse(p.key.public()), nil
}

// VerifyClient authenticates by client secret, in form or basic form. The public client needs none; it may only exchange.
func (p *Provider) VerifyClient(_ context.Context, r *op.Request[op.ClientCredentials]) (op.Client, error) {
	if r.Data.ClientID == publicClient {
		return client{id: publicClient, public: true}, nil
	}
	c, ok := p.clients[r.Data.ClientID]
	if !ok || subtle.ConstantTimeCompare([]byte(c.Secret), []byte(r.Data.ClientSecret)) != 1 {
		return nil, op.NewStatusError(oidc.ErrInvalidClient().WithDescription("client id or secret is wrong"), http.StatusUnauthorized)
	}
	return client{id: c.ID}, nil
}

// ClientCredentialsExchange issues a token with the client's sub and scopes; a requested scope that was not granted to the
// client is refused.
func (p *Provider) ClientCredentialsExchange(ctx context.Context, r *op.ClientRequest[oidc.ClientCredentialsRequest]) (*op.Response, error) {
	c := p.clients[r.Client.GetID()]
	scopes := c.Scopes
	if len(r.Data.Scope) > 0 {
		for _, s := range r.Data.Scope {
			if !slices.Contains(c.Scopes, s) {
				return nil, oidc.ErrInvalidScope().WithDescription("scope %q is not granted to client %q", s, c.ID)
			}
		}
		scopes = r.Data.Scope
	}
	token, err := p.sign(ctx, client{id: c.ID}, c.Subject, c.Audience, strings.Join(scopes, " "), c.TokenTTL, nil, nil)
	if err != nil {
		return nil, err
	}
	return op.NewResponse(&oidc.AccessTokenResponse{
		AccessToken: token, TokenType: oidc.BearerToken, ExpiresIn: uint64(c.TokenTTL.Seconds()), Scope: scopes,
	}), nil
}

// Mint issues a token in the sandbox's own name, for the planes that it plays itself.
func (p *Provider) Mint(ctx context.Context, sub string, aud []string, scope string) (string, error) {
	return p.sign(ctx, client{id: sub}, sub, aud, scope, p.ttl, nil, nil)
}

// tokenRequest is what CreateJWT wants: the finished subject, audience, scope and actor of a token.
type tokenRequest struct {
	subject  string
	audience []string
	scope    string
	actor    *oidc.ActorClaims
}

func (t tokenRequest) GetSubject() string          { return t.subject }
func (t tokenRequest) GetAudience() []string       { return t.audience }
func (t tokenRequest) GetScopes() []string         { return strings.Fields(t.scope) }
func (t tokenRequest) GetActor() *oidc.ActorClaims { return t.actor }

func (p *Provider) sign(ctx context.Context, c client, sub string, aud []string, scope string, ttl time.Duration, actor *oidc.ActorClaims, private map[string]any) (string, error) {
	exp := p.now().Add(ttl)
	token, err := op.CreateJWT(ctx, p.issuer, tokenRequest{sub, aud, scope, actor}, exp, uuid.NewString(), c, claimStorage{key: p.key, scope: scope, private: private})
	if err != nil {
		return "", fmt.Errorf("sign token: %w", err)
	}
	return token, nil
}
