// Package controlplanes keeps one Management API client a tenant, so that all events of a tenant share its token.
package controlplanes

import (
	"net/http"

	"github.com/tidegate/tidegate/shared/auth"
	"github.com/tidegate/tidegate/shared/management"
	"github.com/tidegate/tidegate/shared/tenant"
)

// New returns a pool that makes and keeps the clients; hc is used for the control planes and for the token endpoints. A document that was
// read anew gives a new client, since its secret may be another.
func New(hc *http.Client) *tenant.Derived[*management.Client] {
	return tenant.Derive(func(t *tenant.Tenant) (*management.Client, error) {
		tokens, err := auth.ForTenant(t, hc)
		if err != nil {
			return nil, err
		}
		return management.New(t, tokens, hc), nil
	})
}
