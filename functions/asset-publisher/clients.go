package main

import (
	"net/http"
	"sync"

	"github.com/tidegate/tidegate/shared/auth"
	"github.com/tidegate/tidegate/shared/management"
	"github.com/tidegate/tidegate/shared/tenant"
)

// clients keeps one control-plane client a tenant, so that all events share its token. A document that was read anew gives a
// new client, since its secret may be another.
type clients struct {
	http *http.Client

	mu   sync.Mutex
	byID map[string]client
}

type client struct {
	document *tenant.Tenant
	api      controlPlane
}

func newClients(hc *http.Client) *clients {
	return &clients{http: hc, byID: map[string]client{}}
}

func (c *clients) of(t *tenant.Tenant) (controlPlane, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if known, ok := c.byID[t.ParticipantContextID]; ok && known.document == t {
		return known.api, nil
	}
	tokens, err := auth.ForTenant(t, c.http)
	if err != nil {
		return nil, err
	}
	api := management.New(t, tokens, c.http)
	c.byID[t.ParticipantContextID] = client{document: t, api: api}
	return api, nil
}
