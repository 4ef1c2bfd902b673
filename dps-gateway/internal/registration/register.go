package registration

import (
	"context"
	"os"
	"slices"
	"strings"

	"github.com/tidegate/tidegate/shared/dps"
	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/tenant"
)

func (r *Registrar) register(ctx context.Context, t *tenant.Tenant) error {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.Timeout)
	defer cancel()
	cp := t.ControlPlane
	authorization, err := r.authorization(cp.Signaling.Authorization)
	if err != nil {
		return err
	}
	msg, err := dps.NewDataPlaneRegistration(cp.Signaling.DataplaneID, r.cfg.SignalingURL+"/participants/"+t.ParticipantContextID,
		r.profiles(t), cp.Signaling.Labels, authorization, dps.Dialect(cp.Dialect))
	if err != nil {
		return err
	}
	c, err := r.of(t)
	if err != nil {
		return err
	}
	// Before the control plane knows of it: a crash in between leaves something to delete that isn't there, which is as good.
	remembered := r.memory.Remember(ctx, t)
	if err := c.RegisterDataPlane(ctx, msg); err != nil {
		return err
	}
	return remembered
}

// profiles are those that the gateway serves itself, and those of the tenant that functions serve.
func (r *Registrar) profiles(t *tenant.Tenant) []string {
	all := slices.Clone(r.cfg.Profiles)
	for _, p := range t.Profiles {
		if !slices.Contains(all, p.Profile) {
			all = append(all, p.Profile)
		}
	}
	return all
}

// authorization says how the control plane gets the tokens that it sends to us, and by which keys it checks ours; nil if the
// network protects the calls.
func (r *Registrar) authorization(a tenant.SignalingAuthorization) (*dps.Authorization, error) {
	switch a.Type {
	case tenant.SignalingNetwork:
		return nil, nil
	case tenant.SignalingExchange: // both sides exchange at the same place, whose keys sign the tokens of both
		return &dps.Authorization{
			Type: a.Type, TokenExchangeEndpoint: a.TokenEndpoint, Issuer: a.Issuer, JWKSURI: a.JWKSURL,
			Resource: a.Resource, Audience: a.Audience, Scope: strings.Join(a.RequestScopes, " "),
		}, nil
	}
	secret, err := os.ReadFile(a.ClientSecretFile)
	if err != nil {
		return nil, problem.Wrap(problem.Unavailable, err, "the client secret of the signaling authorization can't be read")
	}
	return &dps.Authorization{
		Type: a.Type, TokenEndpoint: a.TokenEndpoint, ClientID: a.ClientID, ClientSecret: strings.TrimSpace(string(secret)),
		JWKSURI: r.cfg.JWKSURI,
	}, nil
}
