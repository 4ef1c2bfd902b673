package signaling

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/tidegate/tidegate/dps-gateway/internal/controlplane"
	"github.com/tidegate/tidegate/dps-gateway/internal/flowstore"
	"github.com/tidegate/tidegate/shared/auth"
	"github.com/tidegate/tidegate/shared/dps"
	"github.com/tidegate/tidegate/shared/egress"
	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/tenant"
)

const (
	maxRegistration = 64 << 10 // bytes, an inline key set included
	maxURL          = 2048     // bytes
)

// registrant is who registers a control plane.
type registrant struct {
	tenant   *tenant.Tenant
	operator bool   // holds a secret of registrationTokenFile: may register any
	id       string // else the control plane itself: may register this one
	once     *flowstore.Once
}

// mayRegister finds out who calls, and whether the tenant's document lets control planes register themselves. A bad caller is told the
// same as on any signal; only a good one hears that registration is not allowed.
func (h *handler) mayRegister(ctx context.Context, r *http.Request) (*registrant, error) {
	if t, ok := h.Tenants.Get(r.PathValue("participantContextId")); ok && t.ControlPlane.Signaling.RegistrationAllowed() {
		if token, ok := auth.Bearer(r.Header); ok && h.secrets.check(t.ControlPlane.Signaling.RegistrationTokenFile, token) {
			return &registrant{tenant: t, operator: true}, nil
		}
	}
	c, err := h.authenticate(ctx, r)
	switch {
	case err != nil:
		return nil, err
	case c.id == "": // the network protects the calls: it does not say who calls
		return nil, refused("nothing proves who registers")
	case !c.tenant.ControlPlane.Signaling.RegistrationAllowed():
		return nil, problem.New(problem.Forbidden, "the tenant's document does not let control planes register themselves")
	}
	return &registrant{tenant: c.tenant, id: c.id, once: c.once}, nil
}

func (w *registrant) allows(id string) error {
	if w.operator || w.id == id {
		return nil
	}
	return problem.New(problem.Forbidden, "a control plane registers itself and no other")
}

// register takes the registration of a control plane (ControlPlaneRegistrationMessage), or replaces it as a whole. Said twice it
// comes to the same. While Redis is away it waits, see Patience.
func (h *handler) register(w http.ResponseWriter, r *http.Request) error {
	b := &body{w: w, r: r, limit: maxRegistration}
	err := h.Patience.do(r.Context(), r.PathValue("participantContextId"), func(ctx context.Context) error {
		who, err := h.mayRegister(ctx, r)
		if err != nil {
			return err
		}
		text, err := b.read()
		if err != nil {
			return err
		}
		return h.put(ctx, r, who, text)
	})
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

func (h *handler) put(ctx context.Context, r *http.Request, who *registrant, text []byte) error {
	m, err := dps.DecodeControlPlaneRegistration(text)
	if err != nil {
		return err
	}
	if err := who.allows(m.ControlplaneID); err != nil {
		return err
	}
	reg, err := h.registration(who.tenant, m)
	if err != nil {
		return err
	}
	if who.once != nil {
		who.once.Request = requestDigest(r, text)
	}
	if err := h.Registrations.Put(ctx, who.tenant.ParticipantContextID, reg, (*controlplane.Once)(who.once)); err != nil {
		return err
	}
	h.Log.Info().Str("participant_context", who.tenant.ParticipantContextID).Str("controlplane", reg.ID).Bool("by_operator", who.operator).
		Msg("control plane registered")
	return nil
}

// deregister removes the registration of a control plane. Its flows stay, and are of nobody until it is registered again. While Redis is
// away it waits, as register does; then what is not there any more may have gone by the try whose answer was lost.
func (h *handler) deregister(w http.ResponseWriter, r *http.Request) error {
	id, tried := r.PathValue("controlplaneId"), false
	err := h.Patience.do(r.Context(), r.PathValue("participantContextId"), func(ctx context.Context) error {
		who, err := h.mayRegister(ctx, r)
		if err != nil {
			return err
		}
		if err := who.allows(id); err != nil {
			return err
		}
		if who.once != nil {
			who.once.Request = requestDigest(r, nil)
		}
		err = h.Registrations.Delete(ctx, who.tenant.ParticipantContextID, id, (*controlplane.Once)(who.once))
		if gone := tried && problem.Is(err, problem.NotFound); err != nil && !gone {
			tried = true
			return err
		}
		h.Log.Info().Str("participant_context", who.tenant.ParticipantContextID).Str("controlplane", id).Bool("by_operator", who.operator).
			Msg("control plane deregistered")
		return nil
	})
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// registration checks a message. What it makes us call must be outside our own network, and our workload's token goes to the exchange
// endpoint that the operator has named and to no other.
func (h *handler) registration(t *tenant.Tenant, m *dps.ControlPlaneRegistrationMessage) (*controlplane.Registration, error) {
	if err := h.callable("endpoint", m.Endpoint); err != nil {
		return nil, err
	}
	if m.Authorization == nil {
		return nil, problem.Field("authorization", "is missing: a control plane that proves nothing is not taken")
	}
	a := *m.Authorization
	const at = "authorization."
	need := func(pairs ...[2]string) error {
		for _, p := range pairs {
			if p[1] == "" {
				return problem.Field(at+p[0], "is missing: %s needs it", a.Type)
			}
		}
		return nil
	}
	var err error
	switch a.Type {
	case tenant.SignalingOAuth2:
		if err = need([2]string{"tokenEndpoint", a.TokenEndpoint}, [2]string{"clientId", a.ClientID}, [2]string{"clientSecret", a.ClientSecret}); err == nil {
			err = h.callable(at+"tokenEndpoint", a.TokenEndpoint)
		}
		if err == nil {
			err = h.keysOf(at, &a)
		}
	case tenant.SignalingExchange:
		own := t.ControlPlane.Signaling.Authorization
		err = need([2]string{"tokenExchangeEndpoint", a.TokenExchangeEndpoint}, [2]string{"issuer", a.Issuer}, [2]string{"jwksUri", a.JWKSURI})
		switch {
		case err != nil:
		case a.JWKS != nil:
			err = problem.Field(at+"jwks", "has no meaning with %s: jwksUri alone is expected", a.Type)
		case own.Type != tenant.SignalingExchange || a.TokenExchangeEndpoint != own.TokenEndpoint:
			err = problem.Field(at+"tokenExchangeEndpoint", "is not the one that the tenant's document names: the workload's token is sent to that one only")
		default:
			err = h.callable(at+"jwksUri", a.JWKSURI)
		}
	default:
		err = problem.Field(at+"type", "is not one of %s, %s", tenant.SignalingOAuth2, tenant.SignalingExchange)
	}
	if err != nil {
		return nil, err
	}
	return &controlplane.Registration{ID: m.ControlplaneID, Endpoint: strings.TrimRight(m.Endpoint, "/"), Authorization: a}, nil
}

// keysOf checks that there are keys, in one of the two ways.
func (h *handler) keysOf(at string, a *dps.Authorization) error {
	switch {
	case a.JWKS != nil && a.JWKSURI != "":
		return problem.Field(at+"jwks", "stands beside jwksUri: one of them is expected")
	case a.JWKS != nil:
		if err := auth.CheckJWKS(a.JWKS); err != nil {
			return problem.Field(at+"jwks", "%w", err)
		}
		return nil
	case a.JWKSURI == "":
		return problem.Field(at+"jwksUri", "is missing, and jwks too: a token whose signature can't be verified is not taken")
	}
	return h.callable(at+"jwksUri", a.JWKSURI)
}

// callable refuses a URL that we would not call. A name is looked up only when it is called, and is then held to the same rule.
func (h *handler) callable(field, s string) error {
	u, err := url.Parse(s)
	switch {
	case len(s) > maxURL:
		return problem.Field(field, "has %d bytes, at most %d are taken", len(s), maxURL)
	case err != nil || u.Hostname() == "" || (u.Scheme != "https" && u.Scheme != "http"):
		return problem.Field(field, "is no absolute https URL")
	case u.Scheme == "http" && !h.AllowPlainHTTP:
		return problem.Field(field, "is a http URL, https is expected")
	case u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return problem.Field(field, "holds credentials, a query or a fragment, a URL without is expected")
	}
	host := u.Hostname()
	if ip, err := netip.ParseAddr(host); err == nil && !h.AllowPrivate && !egress.Public(ip) {
		return problem.Field(field, "is an address that is not public")
	}
	if !h.AllowPrivate && (strings.EqualFold(host, "localhost") || net.ParseIP(host) == nil && !strings.Contains(host, ".")) {
		return problem.Field(field, "is a name of an inner network")
	}
	return nil
}
