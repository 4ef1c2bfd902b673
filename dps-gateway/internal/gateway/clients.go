package gateway

import (
	"net/http"
	"sync"
	"time"

	"github.com/tidegate/tidegate/dps-gateway/internal/direct"
	"github.com/tidegate/tidegate/shared/auth"
	"github.com/tidegate/tidegate/shared/egress"
	"github.com/tidegate/tidegate/shared/management"
	"github.com/tidegate/tidegate/shared/tenant"
)

// clients are the HTTP clients of the gateway, by whom they call.
type clients struct {
	functions *http.Client // with the internal secret; calls bound their time themselves
	broker    *http.Client // the same, for events: small, many, and good to send twice
	outside   *http.Client // control planes, token endpoints
	peers     *http.Client // refresh endpoints that other participants name
	planes    *http.Client // control planes that have registered themselves, and what they name
	base      *direct.Transport

	mu         sync.Mutex
	management map[string]managementOf
}

type managementOf struct {
	tenant *tenant.Tenant
	client *management.Client
}

func newClients(secret *auth.SharedSecret, cfg Config) *clients {
	base := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		MaxIdleConns:        512,
		MaxIdleConnsPerHost: 256, // the outbox has that many events under way to one broker, which may be behind TLS
		IdleConnTimeout:     90 * time.Second,
		TLSHandshakeTimeout: 10 * time.Second,
		ForceAttemptHTTP2:   true,
		DisableCompression:  true, // what a data server says passes as it is
	}
	noRedirect := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	near := &direct.Transport{Next: base, Proxy: base.Proxy}
	return &clients{
		functions:  &http.Client{Transport: secret.Transport(base), CheckRedirect: noRedirect},
		broker:     &http.Client{Transport: secret.Transport(near), CheckRedirect: noRedirect},
		outside:    &http.Client{Transport: base, CheckRedirect: noRedirect, Timeout: 60 * time.Second},
		peers:      egress.NewClient(egress.Options{AllowPrivate: cfg.PrivatePeers, Timeout: 10 * time.Second}),
		planes:     egress.NewClient(egress.Options{AllowPrivate: cfg.PrivateControlPlanes, Timeout: 15 * time.Second}),
		base:       near,
		management: map[string]managementOf{},
	}
}

// of returns the Management API client of a tenant. It is kept as long as the tenant's document stays, and with it the token.
func (c *clients) of(t *tenant.Tenant) (*management.Client, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if m, ok := c.management[t.ParticipantContextID]; ok && m.tenant == t {
		return m.client, nil
	}
	ts, err := auth.ForTenant(t, c.outside)
	if err != nil {
		return nil, err
	}
	m := managementOf{tenant: t, client: management.New(t, ts, c.outside)}
	c.management[t.ParticipantContextID] = m
	return m.client, nil
}

// forget drops the clients of tenants that are gone.
func (c *clients) forget(inForce func(pc string) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for pc := range c.management {
		if !inForce(pc) {
			delete(c.management, pc)
		}
	}
}

func (c *clients) close() {
	c.base.CloseIdleConnections()
	c.peers.CloseIdleConnections()
	c.planes.CloseIdleConnections()
}
