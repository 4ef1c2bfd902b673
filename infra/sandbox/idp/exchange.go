package idp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"

	"github.com/tidegate/tidegate/infra/sandbox/config"
)

// TokenExchange is RFC 8693 with jwtlet's parameters: subject_token is the workload's token, resource the participant
// context, scope tiers, audience one of those that the mapping allows. The answer's scope is the tiers, the token's is what
// they stand for; act names the workload, and there is no client_id, since no client was authenticated. participant_context is the
// claim that the profile oauth2_token_exchange of Data Plane Signaling demands.
func (p *Provider) TokenExchange(ctx context.Context, r *op.ClientRequest[oidc.TokenExchangeRequest]) (*op.Response, error) {
	if len(r.Data.Resource) != 1 || len(r.Data.Audience) > 1 {
		return nil, oidc.ErrInvalidRequest().WithDescription("one resource and at most one audience are expected")
	}
	subject, err := p.subject(ctx, r.Data.SubjectToken)
	if err != nil {
		return nil, oidc.ErrInvalidGrant().WithDescription("subject token: %v", err)
	}
	m := p.mapping(subject.Subject, r.Data.Resource[0])
	if m == nil {
		return nil, refuse("no mapping of %q to participant context %q", subject.Subject, r.Data.Resource[0])
	}
	aud := m.Audiences[0]
	if len(r.Data.Audience) == 1 {
		if aud = r.Data.Audience[0]; !slices.Contains(m.Audiences, aud) {
			return nil, refuse("audience %q is not allowed", aud)
		}
	}
	var claim []string
	for _, tier := range r.Data.Scopes {
		if !slices.Contains(m.Scopes, tier) {
			return nil, refuse("scope %q is not allowed", tier)
		}
		claim = append(claim, strings.Fields(p.exchange.Tiers[tier])...)
	}
	slices.Sort(claim)
	private := map[string]any{"participant_context": m.ParticipantContext}
	token, err := p.sign(ctx, client{}, m.Resource, []string{aud}, strings.Join(slices.Compact(claim), " "), p.ttl,
		&oidc.ActorClaims{Issuer: subject.Issuer, Subject: subject.Subject}, private)
	if err != nil {
		return nil, err
	}
	return op.NewResponse(&oidc.TokenExchangeResponse{
		AccessToken: token, IssuedTokenType: oidc.JWTTokenType, TokenType: oidc.BearerToken,
		ExpiresIn: uint64(p.ttl.Seconds()), Scopes: r.Data.Scopes,
	}), nil
}

// refuse is jwtlet's 403 unauthorized_client.
func refuse(format string, args ...any) error {
	return op.NewStatusError(oidc.ErrUnauthorizedClient().WithDescription(format, args...), http.StatusForbidden)
}

func (p *Provider) mapping(sub, resource string) *config.Mapping {
	for i := range p.exchange.Mappings {
		if m := &p.exchange.Mappings[i]; m.Client == sub && m.Resource == resource {
			return m
		}
	}
	return nil
}

// subject verifies a subject token: issued by the sandbox itself or by a configured issuer, with the audience asked for.
func (p *Provider) subject(ctx context.Context, token string) (*jwt.Claims, error) {
	parsed, err := jwt.ParseSigned(token, algorithms)
	if err != nil {
		return nil, errors.New("is no signed JWT")
	}
	var unsafe jwt.Claims
	if err := parsed.UnsafeClaimsWithoutVerification(&unsafe); err != nil {
		return nil, errors.New("has no readable claims")
	}
	keys := p.key.public()
	if unsafe.Issuer != p.issuer {
		if keys, err = p.foreignKeys(ctx, unsafe.Issuer); err != nil {
			return nil, err
		}
	}
	claims, _, err := verify(parsed, keys)
	if err != nil {
		return nil, err
	}
	want := jwt.Expected{Time: p.now()}
	if p.exchange.SubjectAudience != "" {
		want.AnyAudience = jwt.Audience{p.exchange.SubjectAudience}
	}
	if err := claims.ValidateWithLeeway(want, 0); err != nil {
		return nil, err
	}
	if claims.Subject == "" || claims.Expiry == nil {
		return nil, errors.New("sub and exp are needed")
	}
	return claims, nil
}

func (p *Provider) foreignKeys(ctx context.Context, issuer string) (*jose.JSONWebKeySet, error) {
	i := slices.IndexFunc(p.exchange.Issuers, func(s config.SubjectIssuer) bool { return s.Issuer == issuer })
	if i < 0 {
		return nil, fmt.Errorf("issuer %q is not trusted", issuer)
	}
	s := p.exchange.Issuers[i]
	if s.JWKSFile != "" { // small and local: read each time, so that a rotation needs no restart
		b, err := os.ReadFile(s.JWKSFile)
		if err != nil {
			return nil, err
		}
		return parseKeys(b)
	}
	return FetchKeys(ctx, p.hc, s.JWKSURL)
}

// FetchKeys gets a JWK set.
func FetchKeys(ctx context.Context, hc *http.Client, url string) (*jose.JSONWebKeySet, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	res, err := hc.Do(req)
	if err != nil {
		return nil, fmt.Errorf("get keys: %w", err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return nil, fmt.Errorf("get keys: %w", err)
	}
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("get keys: status %d", res.StatusCode)
	}
	return parseKeys(b)
}

func parseKeys(b []byte) (*jose.JSONWebKeySet, error) {
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(b, &set); err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	return &set, nil
}
