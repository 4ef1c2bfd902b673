// Package controlplane calls the signaling API of tenants' control planes (DPS 1.0, control plane endpoints), each with the
// authorization profile that it has with us: a token that we sign ourselves, or one of a token exchange.
package controlplane

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/tidegate/tidegate/shared/auth"
	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/tenant"
)

const tokenLife = 2 * time.Minute // of a token that we sign ourselves

// Signer signs our own tokens; its public keys are the jwksUri of the registration.
type Signer interface {
	Sign(claims map[string]any) (string, error)
}

var _ Signer = (*auth.Signer)(nil)

// Client calls control planes. It is safe for concurrent use.
type Client struct {
	signer Signer
	issuer string
	hc     *http.Client

	mu      sync.Mutex
	sources map[string]sourceOf // by participant context
}

// sourceOf are the tokens of a version of a tenant's document.
type sourceOf struct {
	tenant *tenant.Tenant
	tokens auth.TokenSource
}

// New returns a client. issuer is the gateway's public URL, the iss of the tokens that it signs.
func New(signer Signer, issuer string, hc *http.Client) *Client {
	return &Client{signer: signer, issuer: issuer, hc: hc, sources: map[string]sourceOf{}}
}

// Answer is what a control plane has answered, of any status.
type Answer struct {
	Status     int
	Body       []byte // at most limit bytes of it
	RetryAfter string
	Partial    bool // Body is not the whole: it was longer, or the answer broke off
}

// Do makes a call; path is below the control plane's signaling URL and begins with a slash. Its error is of kind Unavailable if the control
// plane or the token endpoint can't be reached, Timeout if ctx ended.
func (c *Client) Do(ctx context.Context, t *tenant.Tenant, method, path string, body []byte, limit int64) (*Answer, error) {
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimRight(t.ControlPlane.SignalingURL, "/")+path, bytes.NewReader(body))
	if err != nil {
		return nil, problem.Wrap(problem.Unavailable, err, "the signaling URL of tenant %s", t.ParticipantContextID)
	}
	if len(body) > 0 {
		req.Header.Set("Content-Type", "application/json")
	}
	tokens := c.tokens(t)
	token, err := tokens.Token(ctx)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := c.hc.Do(req)
	if err != nil {
		return nil, unreached(ctx, err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode == http.StatusUnauthorized {
		tokens.Invalidate(token)
	}
	a := &Answer{Status: res.StatusCode, RetryAfter: res.Header.Get("Retry-After")}
	a.Body, err = io.ReadAll(io.LimitReader(res.Body, limit+1))
	if int64(len(a.Body)) > limit || err != nil {
		a.Body, a.Partial = a.Body[:min(int64(len(a.Body)), limit)], true
	}
	return a, nil
}

func unreached(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return problem.Wrap(problem.Timeout, err, "the control plane did not answer in time")
	}
	return problem.Wrap(problem.Unavailable, err, "the control plane can't be reached")
}

// tokens are those of the tenant's authorization profile. What is kept of them is dropped when the document changes.
func (c *Client) tokens(t *tenant.Tenant) auth.TokenSource {
	a := t.ControlPlane.Signaling.Authorization
	if a.Type != tenant.SignalingExchange {
		return own{c, t}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if s, ok := c.sources[t.ParticipantContextID]; ok && s.tenant == t {
		return s.tokens
	}
	s := auth.ForExchange(auth.Exchange{
		Endpoint: a.TokenEndpoint, SubjectTokenFile: a.SubjectTokenFile,
		Resource: a.Callback.Resource, Audience: a.Callback.Audience, Scopes: a.Callback.Scopes,
	}, c.hc)
	c.sources[t.ParticipantContextID] = sourceOf{t, s}
	return s
}

// Forget drops what is kept of tenants that are gone.
func (c *Client) Forget(inForce func(pc string) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for pc := range c.sources {
		if !inForce(pc) {
			delete(c.sources, pc)
		}
	}
}

// own are tokens that we sign ourselves, a new one for each call (oauth2_client_credentials, the data plane as sender).
type own struct {
	c *Client
	t *tenant.Tenant
}

// Token implements auth.TokenSource.
func (o own) Token(context.Context) (string, error) {
	now := time.Now()
	token, err := o.c.signer.Sign(map[string]any{
		"iss": o.c.issuer, "sub": o.t.ControlPlane.Signaling.DataplaneID, "aud": o.t.ControlPlane.SignalingURL,
		"iat": now.Unix(), "exp": now.Add(tokenLife).Unix(), "jti": uuid.NewString(),
	})
	if err != nil {
		return "", problem.Wrap(problem.Unavailable, err, "a token for the control plane")
	}
	return token, nil
}

// Invalidate implements auth.TokenSource.
func (own) Invalidate(string) {}
