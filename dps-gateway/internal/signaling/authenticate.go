package signaling

import (
	"cmp"
	"context"
	"crypto/subtle"
	"net/http"
	"time"

	"github.com/tidegate/tidegate/dps-gateway/internal/cache"
	"github.com/tidegate/tidegate/dps-gateway/internal/controlplane"
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
		keys:    auth.VerifierConfig{Issuer: a.Issuer, JWKSURL: a.JWKSURL, Audience: a.Audience, AnyAudience: a.AnyAudience},
		subject: a.Subject, subjectClaim: a.SubjectClaim, scopes: a.Scopes, reusable: a.Reusable,
	}
	switch a.Type {
	case tenant.SignalingOAuth2:
		if p.subject == "" {
			p.subject = a.ClientID
		}
		if p.keys.Audience == "" && !p.keys.AnyAudience {
			p.keys.Audience = t.ControlPlane.Signaling.DataplaneID
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
		who, _ = c.All()[tenant.ClaimClientID].(string)
	}
	switch {
	case p.subject == "" || subtle.ConstantTimeCompare([]byte(who), []byte(p.subject)) != 1:
		return refused(otherControlPlane + " (claim " + cmp.Or(p.subjectClaim, tenant.ClaimSub) + ")")
	case c.IssuedAt.IsZero():
		return refused("the token does not say when it was issued (claim iat)")
	case time.Until(c.Expiry) > longestToken:
		return refused("the token lives for too long (claim exp)")
	}
	for _, s := range p.scopes {
		if !c.HasScope(s) {
			return refused("the token lacks a scope (claim scope)")
		}
	}
	if p.context == "" {
		return nil
	}
	named, claimed := c.All()[claimContext]
	if !claimed {
		named = c.Subject // issuers that make the participant context the subject give no claim of its own
	}
	if named != p.context {
		return refused("the token is for another participant context (claim " + claimContext + ")")
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

const otherControlPlane = "the token is of another control plane"

// refused is the cause of a 401. It names the claim at fault, for the log: the caller is told none.
func refused(why string) error { return problem.New(problem.Unauthenticated, "%s", why) }

// registered is the profile of a control plane that has registered itself.
func registered(t *tenant.Tenant, r *controlplane.Registration) *profile {
	s := t.ControlPlane.Signaling
	p := &profile{
		keys:    auth.VerifierConfig{Issuer: r.Authorization.Issuer, JWKSURL: r.Authorization.JWKSURI, JWKS: string(r.Authorization.JWKS), Audience: s.DataplaneID},
		subject: r.ID, reusable: s.Authorization.Reusable,
	}
	if r.Authorization.Type == tenant.SignalingOAuth2 {
		p.keys.AnyIssuer = true // the profile names none: whose the keys are, the registration says
		return p
	}
	p.keys.Audience, p.scopes, p.context = s.Authorization.Audience, s.Authorization.Scopes, t.ParticipantContextID
	return p
}

// verifiers holds the verifier of each control plane, made anew when its document or its registration changes.
type verifiers struct {
	hc    *http.Client // of those that documents name
	peers *http.Client // of those that have registered themselves
	kept  *cache.Cache[verifierKey, verifierOf]
}

type verifierKey struct {
	pc, controlPlane string
	registered       bool
}

type verifierOf struct {
	cfg      auth.VerifierConfig
	verifier *auth.Verifier
}

const (
	keptVerifiers = 4096
	keptFor       = time.Hour
)

func newVerifiers(hc, peers *http.Client) *verifiers {
	return &verifiers{hc: hc, peers: peers, kept: cache.New[verifierKey, verifierOf](keptVerifiers)}
}

func (v *verifiers) of(key verifierKey, cfg auth.VerifierConfig) *auth.Verifier {
	have, ok := v.kept.Get(key)
	if !ok || have.cfg != cfg {
		hc := v.hc
		if key.registered {
			hc = v.peers
		}
		have = verifierOf{cfg, auth.NewVerifier(cfg, hc)}
		v.kept.Put(key, have, time.Now().Add(keptFor))
	}
	return have.verifier
}

// caller is the control plane that calls.
type caller struct {
	tenant *tenant.Tenant
	id     string          // as the document or the registration names it; "" if the network protects the calls
	owner  string          // of its flows: "" for the control plane of the document
	once   *flowstore.Once // marks the token; nil for one without an id
}

// authenticate finds the tenant of the path and checks that one of its control planes is who calls: the one of the document, or one that
// has registered itself. The result marks the token: the store makes it good for one request, in the same step as what the request
// does.
func (h *handler) authenticate(ctx context.Context, r *http.Request) (*caller, error) {
	t, ok := h.Tenants.Get(r.PathValue("participantContextId"))
	if !ok {
		return nil, refused("no tenant in force")
	}
	network := t.ControlPlane.Signaling.Authorization.Type == typeNetwork
	allowed := t.ControlPlane.Signaling.RegistrationAllowed()
	bearer, ok := auth.Bearer(r.Header)
	if network && (!ok || !allowed) {
		return &caller{tenant: t}, nil
	}
	if !ok {
		return nil, refused("no bearer token")
	}
	doc, documents := documented(t)
	if !documents && !network {
		return nil, refused("the tenant's document has no authorization profile")
	}
	token, err := auth.ReadToken(bearer)
	switch {
	case err != nil && network:
		return &caller{tenant: t}, nil // of no control plane that has registered itself
	case err != nil:
		return nil, err
	}
	err = refused(otherControlPlane)
	if documents {
		var c *caller
		if c, err = h.verify(ctx, t, token, &doc, false); err == nil {
			return c, nil
		}
	}
	if !allowed || (err != nil && documents && !problem.Is(err, problem.Unauthenticated)) {
		return nil, err
	}
	reg, gerr := h.Registrations.Get(ctx, t.ParticipantContextID, token.ClaimedSubject())
	switch {
	case gerr != nil:
		return nil, gerr
	case reg != nil:
		return h.verify(ctx, t, token, registered(t, reg), true)
	case network:
		return &caller{tenant: t}, nil
	}
	return nil, err
}

// verify checks a token by a profile.
func (h *handler) verify(ctx context.Context, t *tenant.Tenant, token *auth.Token, p *profile, registered bool) (*caller, error) {
	if !registered && token.ClaimedSubject() != p.subject && p.subjectClaim != tenant.ClaimClientID {
		return nil, refused(otherControlPlane + " (claim sub)") // before its keys are looked for
	}
	claims, err := h.verifiers.of(verifierKey{t.ParticipantContextID, p.subject, registered}, p.keys).VerifyToken(ctx, token)
	if err != nil {
		return nil, err
	}
	if err := p.check(claims); err != nil {
		return nil, err
	}
	c := &caller{tenant: t, id: p.subject, owner: p.subject, once: p.once(claims)}
	if own, ok := documented(t); ok && p.subject == own.subject {
		c.owner = "" // the control plane of the document stays that when it registers itself
	}
	return c, nil
}
