package signaling

import (
	"context"
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

func (v *verifiers) of(t *tenant.Tenant) *auth.Verifier {
	a := t.ControlPlane.Signaling.Authorization
	cfg := auth.VerifierConfig{Issuer: a.Issuer, JWKSURL: a.JWKSURL, Audience: a.Audience}
	v.mu.Lock()
	defer v.mu.Unlock()
	if have, ok := v.byPC[t.ParticipantContextID]; ok && have.cfg == cfg {
		return have.verifier
	}
	fresh := auth.NewVerifier(cfg, v.hc)
	v.byPC[t.ParticipantContextID] = verifierOf{cfg, fresh}
	return fresh
}

// authenticate finds the tenant of the path and checks that its control plane is who calls. The result marks the token: the
// store makes it good for one request, in the same step as what the request does. It is nil for a token without an id.
func (h *handler) authenticate(ctx context.Context, r *http.Request) (*tenant.Tenant, *flowstore.Once, error) {
	t, ok := h.Tenants.Get(r.PathValue("participantContextId"))
	if !ok {
		return nil, nil, problem.New(problem.Unauthenticated, "no tenant in force")
	}
	a := t.ControlPlane.Signaling.Authorization
	if a.Type == typeNetwork {
		return t, nil, nil
	}
	token, ok := auth.Bearer(r.Header)
	if !ok {
		return nil, nil, problem.New(problem.Unauthenticated, "no bearer token")
	}
	claims, err := h.verifiers.of(t).Verify(ctx, token)
	if err != nil {
		return nil, nil, err
	}
	subject := a.Subject
	if subject == "" {
		subject = a.ClientID
	}
	left := time.Until(claims.Expiry)
	switch {
	case subject == "" || claims.Subject != subject:
		return nil, nil, problem.New(problem.Unauthenticated, "the token is of another control plane")
	case left > longestToken:
		return nil, nil, problem.New(problem.Unauthenticated, "the token lives for more than %v", longestToken)
	case claims.ID == "":
		return t, nil, nil
	}
	return t, &flowstore.Once{TokenID: claims.ID, TTL: left + markMargin}, nil
}
