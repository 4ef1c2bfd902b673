// Package controlplanes keeps one Management API client a tenant, so that all events of a tenant share its token.
package controlplanes

import (
	"net/http"
	"sync"

	"github.com/tidegate/tidegate/shared/auth"
	"github.com/tidegate/tidegate/shared/management"
	"github.com/tidegate/tidegate/shared/tenant"
)

// Pool makes and keeps the clients. The zero Pool is not ready: use New.
type Pool struct {
	http *http.Client

	mu   sync.Mutex
	byID map[string]client
}

type client struct {
	document *tenant.Tenant
	api      *management.Client
}

// New returns an empty pool; hc is used for the control planes and for the token endpoints.
func New(hc *http.Client) *Pool { return &Pool{http: hc, byID: map[string]client{}} }

// Of returns the client of a tenant. A document that was read anew gives a new client, since its secret may be another.
func (p *Pool) Of(t *tenant.Tenant) (*management.Client, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if known, ok := p.byID[t.ParticipantContextID]; ok && known.document == t {
		return known.api, nil
	}
	tokens, err := auth.ForTenant(t, p.http)
	if err != nil {
		return nil, err
	}
	api := management.New(t, tokens, p.http)
	p.byID[t.ParticipantContextID] = client{document: t, api: api}
	return api, nil
}
