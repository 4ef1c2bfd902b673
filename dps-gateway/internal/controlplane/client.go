// Package controlplane calls the signaling API of tenants' control planes (DPS 1.0, control plane endpoints), each with the
// authorization profile that it has with us: a token that we sign ourselves, or one of a token exchange.
package controlplane

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"reflect"
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
	Sign(claims any) (string, error)
}

var _ Signer = (*auth.Signer)(nil)

// Owners tells which control plane has made a flow: "" for the one of the tenant's document.
type Owners interface {
	Owner(ctx context.Context, pc, dataFlowID string) (string, error)
}

// Client calls control planes. It is safe for concurrent use.
type Client struct {
	signer Signer
	issuer string
	hc     *http.Client

	registered *Registrations // nil: no control plane registers itself
	owners     Owners
	peers      *http.Client // calls those that have registered themselves

	mu      sync.Mutex
	sources map[[2]string]sourceOf // by participant context and control plane
}

// sourceOf are the tokens of a version of a tenant's document and of a control plane's registration.
type sourceOf struct {
	tenant       *tenant.Tenant
	registration Registration
	tokens       auth.TokenSource
}

// New returns a client. issuer is the gateway's public URL, the iss of the tokens that it signs.
func New(signer Signer, issuer string, hc *http.Client) *Client {
	return &Client{signer: signer, issuer: issuer, hc: hc, sources: map[[2]string]sourceOf{}}
}

// WithRegistered makes the client call the control planes that have registered themselves, about the flows that they have made. peers
// reaches what they may name.
func (c *Client) WithRegistered(r *Registrations, owners Owners, peers *http.Client) *Client {
	c.registered, c.owners, c.peers = r, owners, peers
	return c
}

// Answer is what a control plane has answered, of any status.
type Answer struct {
	Status     int
	Body       []byte // at most limit bytes of it
	RetryAfter string
	Partial    bool // Body is not the whole: it was longer, or the answer broke off
}

// Do makes a call about a data flow to the control plane that made it; path is below its signaling URL and begins with a slash. Its error is
// of kind Unavailable if the control plane or the token endpoint can't be reached, Timeout if ctx ended, NotFound if the control plane
// had registered itself and is registered no more.
func (c *Client) Do(ctx context.Context, t *tenant.Tenant, dataFlowID, method, path string, body []byte, limit int64) (*Answer, error) {
	owner := ""
	if c.registers(t) {
		var err error
		if owner, err = c.owners.Owner(ctx, t.ParticipantContextID, dataFlowID); err != nil {
			return nil, err
		}
	}
	return c.Ask(ctx, t, owner, method, path, body, limit)
}

// Ask is Do for whom it is known which control plane is meant: "" for the one of the tenant's document, else the id of one that has registered
// itself.
func (c *Client) Ask(ctx context.Context, t *tenant.Tenant, controlPlane, method, path string, body []byte, limit int64) (*Answer, error) {
	p, err := c.peer(ctx, t, controlPlane)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimRight(p.endpoint, "/")+path, bytes.NewReader(body))
	if err != nil {
		return nil, problem.Wrap(problem.Unavailable, err, "the signaling URL of tenant %s", t.ParticipantContextID)
	}
	if len(body) > 0 {
		req.Header.Set("Content-Type", "application/json")
	}
	token, err := p.tokens.Token(ctx)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := p.hc.Do(req)
	if err != nil {
		return nil, unreached(ctx, err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode == http.StatusUnauthorized {
		p.tokens.Invalidate(token)
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

// peer is a control plane as we reach it.
type peer struct {
	endpoint string
	hc       *http.Client
	tokens   auth.TokenSource
}

func (c *Client) registers(t *tenant.Tenant) bool {
	return c.registered != nil && t.ControlPlane.Signaling.RegistrationAllowed()
}

// peer finds a control plane. What the document's one has registered of itself goes before what the document says.
func (c *Client) peer(ctx context.Context, t *tenant.Tenant, owner string) (*peer, error) {
	id, byDocument := owner, &peer{t.ControlPlane.SignalingURL, c.hc, c.tokens(t, nil)}
	if id == "" {
		id = t.ControlPlane.Signaling.Authorization.Subject
	}
	switch {
	case owner == "" && (id == "" || !c.registers(t)):
		return byDocument, nil
	case !c.registers(t):
		return nil, notRegistered(owner)
	}
	r, err := c.registered.Get(ctx, t.ParticipantContextID, id)
	switch {
	case err != nil:
		return nil, err
	case r != nil:
		return &peer{r.Endpoint, c.peers, c.tokens(t, r)}, nil
	case owner == "":
		return byDocument, nil
	}
	return nil, notRegistered(owner)
}

func notRegistered(id string) error {
	return problem.New(problem.NotFound, "the control plane %q, which made the data flow, is not registered any more", id)
}

// tokens are those of an authorization profile. What is kept of them is dropped when the document or the registration changes.
func (c *Client) tokens(t *tenant.Tenant, r *Registration) auth.TokenSource {
	a := t.ControlPlane.Signaling.Authorization
	if r == nil && a.Type != tenant.SignalingExchange {
		return own{c, t}
	}
	var reg Registration
	if r != nil {
		reg = *r
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	key := [2]string{t.ParticipantContextID, reg.ID}
	if s, ok := c.sources[key]; ok && s.tenant == t && reflect.DeepEqual(s.registration, reg) {
		return s.tokens
	}
	exchange := auth.Exchange{
		Endpoint: a.TokenEndpoint, SubjectTokenFile: a.SubjectTokenFile,
		Resource: a.Callback.Resource, Audience: a.Callback.Audience, Scopes: a.Callback.Scopes,
	}
	var s auth.TokenSource
	switch {
	case r == nil:
		s = auth.ForExchange(exchange, c.hc)
	case r.Authorization.Type == tenant.SignalingExchange && a.Type == tenant.SignalingExchange:
		exchange.Audience = r.ID // and never another endpoint than the document's: our workload's token goes to no other
		s = auth.ForExchange(exchange, c.hc)
	case r.Authorization.Type == tenant.SignalingOAuth2:
		s = auth.ForClient(auth.ClientCredentials{
			Endpoint: r.Authorization.TokenEndpoint, ClientID: r.Authorization.ClientID, Secret: r.Authorization.ClientSecret,
		}, c.peers)
	default:
		s = none{}
	}
	c.sources[key] = sourceOf{t, reg, s}
	return s
}

// none has no token: the tenant's document has changed, and with it went what the registration relied on.
type none struct{}

// Token implements auth.TokenSource.
func (none) Token(context.Context) (string, error) {
	return "", problem.New(problem.Upstream, "the tenant's document knows no token exchange, which the control plane's registration needs")
}

// Invalidate implements auth.TokenSource.
func (none) Invalidate(string) {}

// Forget drops what is kept of tenants that are gone.
func (c *Client) Forget(inForce func(pc string) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key := range c.sources {
		if !inForce(key[0]) {
			delete(c.sources, key)
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
