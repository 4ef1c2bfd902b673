package signaling

import (
	"context"
	"crypto/subtle"
	"net/http"
	"sync"
	"time"

	"github.com/tidegate/tidegate/dps-gateway/internal/flowstore"
	"github.com/tidegate/tidegate/shared/auth"
	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/tenant"
)

const (
	// typeNetwork is the authorization type by which an operator says that the network protects the calls.
	typeNetwork = tenant.SignalingNetwork
	// longestToken bounds how long a token may live: its mark must be kept that long.
	longestToken = 24 * time.Hour
	// markMargin is kept longer than the token lives, since the verifier gives clocks some leeway.
	markMargin = time.Minute
)

// claimContext is the claim of a token exchange that names the participant context (DPS, oauth2_token_exchange).
const claimContext = "participant_context"

// profile is what a token of a control plane must be: an authorization profile of Data Plane Signaling, from the receiver's side.
type profile struct {
	keys         auth.VerifierConfig
	subject      string
	subjectClaim string
	scopes       []string // all of them
	context      string   // the participant context that a token must name; "" = none
	reusable     bool     // a token may come with several requests
}

// documented is the profile that the tenant's document names; ok is false if there is none that proves anything.
func documented(t *tenant.Tenant) (p profile, ok bool) {
	a := t.ControlPlane.Signaling.Authorization
	p = profile{
		keys:    auth.VerifierConfig{Issuer: a.Issuer, JWKSURL: a.JWKSURL, Audience: a.Audience},
		subject: a.Subject, subjectClaim: a.SubjectClaim, scopes: a.Scopes, reusable: a.Reusable,
	}
	switch a.Type {
	case tenant.SignalingOAuth2:
		if p.subject == "" {
			p.subject = a.ClientID
		}
		return p, true
	case tenant.SignalingExchange:
		p.context = t.ParticipantContextID
		return p, p.keys.Audience != "" && len(p.scopes) > 0 // demanded when the document is read: without them no token is good
	}
	return profile{}, false
}

// check holds the claims of a token, whose signature, issuer, audience and times hold, against the profile.
func (p *profile) check(c *auth.Claims) error {
	who := c.Subject
	if p.subjectClaim == tenant.ClaimClientID {
		who, _ = c.All[tenant.ClaimClientID].(string)
	}
	switch {
	case p.subject == "" || subtle.ConstantTimeCompare([]byte(who), []byte(p.subject)) != 1:
		return refused("the token is of another control plane")
	case c.IssuedAt.IsZero():
		return refused("the token does not say when it was issued")
	case time.Until(c.Expiry) > longestToken:
		return refused("the token lives for too long")
	}
	for _, s := range p.scopes {
		if !c.HasScope(s) {
			return refused("the token lacks a scope")
		}
	}
	if p.context == "" {
		return nil
	}
	named, claimed := c.All[claimContext]
	if !claimed {
		named = c.Subject // issuers that make the participant context the subject give no claim of its own
	}
	if named != p.context {
		return refused("the token is for another participant context")
	}
	return nil
}

// once marks a token as used, if it has an id and may come once.
func (p *profile) once(c *auth.Claims) *flowstore.Once {
	if p.reusable || c.ID == "" {
		return nil
	}
	return &flowstore.Once{TokenID: c.ID, TTL: time.Until(c.Expiry) + markMargin}
}

func refused(why string) error { return problem.New(problem.Unauthenticated, "%s", why) }

// verifiers holds the verifier of each tenant's control plane, made anew when the tenant's document changes.
type verifiers struct {
	hc *http.Client

	mu   sync.Mutex
	byPC map[string]verifierOf
}

type verifierOf struct {
	cfg      auth.VerifierConfig
	verifier *auth.Verifier
}

func newVerifiers(hc *http.Client) *verifiers {
	return &verifiers{hc: hc, byPC: map[string]verifierOf{}}
}

func (v *verifiers) of(pc string, cfg auth.VerifierConfig) *auth.Verifier {
	v.mu.Lock()
	defer v.mu.Unlock()
	if have, ok := v.byPC[pc]; ok && have.cfg == cfg {
		return have.verifier
	}
	fresh := auth.NewVerifier(cfg, v.hc)
	v.byPC[pc] = verifierOf{cfg, fresh}
	return fresh
}

// authenticate finds the tenant of the path and checks that its control plane is who calls. The result marks the token: the
// store makes it good for one request, in the same step as what the request does. It is nil for a token without an id.
func (h *handler) authenticate(ctx context.Context, r *http.Request) (*tenant.Tenant, *flowstore.Once, error) {
	t, ok := h.Tenants.Get(r.PathValue("participantContextId"))
	if !ok {
		return nil, nil, refused("no tenant in force")
	}
	if t.ControlPlane.Signaling.Authorization.Type == typeNetwork {
		return t, nil, nil
	}
	p, ok := documented(t)
	if !ok {
		return nil, nil, refused("the tenant's document has no authorization profile")
	}
	token, ok := auth.Bearer(r.Header)
	if !ok {
		return nil, nil, refused("no bearer token")
	}
	claims, err := h.verifiers.of(t.ParticipantContextID, p.keys).Verify(ctx, token)
	if err != nil {
		return nil, nil, err
	}
	if err := p.check(claims); err != nil {
		return nil, nil, err
	}
	return t, p.once(claims), nil
}
