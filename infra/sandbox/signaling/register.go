package signaling

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/tidegate/tidegate/infra/sandbox/config"
	"github.com/tidegate/tidegate/infra/sandbox/model"
)

// registrations are the control planes that register themselves, by participant context, and what came of it, by data plane.
type registrations struct {
	planes  map[string]*config.ControlPlane
	clients map[string]*config.Client

	mu      sync.Mutex
	outcome map[string]string
}

func newRegistrations(c *config.Config) *registrations {
	r := &registrations{planes: map[string]*config.ControlPlane{}, clients: map[string]*config.Client{}, outcome: map[string]string{}}
	for i := range c.Participants {
		p := &c.Participants[i]
		if p.ControlPlane == nil {
			continue
		}
		r.planes[p.ID] = p.ControlPlane
		for j := range p.Clients {
			if p.Clients[j].ID == p.ControlPlane.Client {
				r.clients[p.ID] = &p.Clients[j]
			}
		}
	}
	return r
}

// of is the control plane that registers itself at a data plane; nil if none does.
func (r *registrations) of(p *model.DataPlane) *config.ControlPlane {
	return r.planes[p.ParticipantContextID]
}

func (r *registrations) note(p *model.DataPlane, outcome string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.outcome[p.ID] = outcome
}

// Registers tells whether the participant's control plane registers itself at a data plane.
func (c *Client) Registers(p *model.DataPlane) bool { return c.registrations.of(p) != nil }

// Registrations tells what came of the registrations, by data plane: "registered", "deregistered", or the answer that was none of these.
func (c *Client) Registrations() map[string]string {
	c.registrations.mu.Lock()
	defer c.registrations.mu.Unlock()
	return maps.Clone(c.registrations.outcome)
}

// Register sends the control plane's registration to a data plane, again and again until there is an answer that is none of a passing
// fault.
func (c *Client) Register(ctx context.Context, p *model.DataPlane) {
	cp, client := c.registrations.of(p), c.registrations.clients[p.ParticipantContextID]
	body, err := json.Marshal(map[string]any{
		"controlplaneId": cp.ID, "endpoint": c.callback,
		"authorization": map[string]any{
			"type": TypeClientCredentials, "tokenEndpoint": c.publicURL + "/idp/oauth/token", "clientId": client.ID, "clientSecret": client.Secret,
			"jwksUri": c.publicURL + "/idp/keys",
		},
	})
	if err != nil {
		c.registrations.note(p, err.Error())
		return
	}
	c.registration(ctx, p, http.MethodPut, "", body, "registered")
}

// Deregister takes the registration back.
func (c *Client) Deregister(ctx context.Context, p *model.DataPlane) {
	c.registration(ctx, p, http.MethodDelete, "/"+url.PathEscape(c.registrations.of(p).ID), nil, "deregistered")
}

func (c *Client) registration(ctx context.Context, p *model.DataPlane, method, path string, body []byte, done string) {
	log := c.log.With().Str("participant", p.ParticipantContextID).Str("dataplane", p.ID).Str("method", method).Logger()
	for pause := c.delays.IOBackoff; ; pause = min(2*pause, 10*time.Second) {
		status, answer, err := c.registrationOnce(ctx, p, method, path, body)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil && status/100 == 2:
			c.registrations.note(p, done)
			log.Info().Msg("control plane " + done)
			return
		case err == nil && status < 500:
			c.registrations.note(p, fmt.Sprintf("%d %s", status, truncate(answer)))
			log.Warn().Int("status", status).Bytes("answer", answer).Msg("the data plane refuses the control plane's registration")
			return
		}
		log.Info().Err(err).Int("status", status).Msg("the control plane's registration is tried again")
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

func (c *Client) registrationOnce(ctx context.Context, p *model.DataPlane, method, path string, body []byte) (status int, answer []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.delays.DPSTimeout)
	defer cancel()
	cp := c.registrations.of(p)
	token := cp.Secret
	if token == "" {
		if token, err = c.own(ctx, cp, p); err != nil {
			return 0, nil, err
		}
	}
	base := strings.TrimSuffix(p.Endpoint, "/dataflows")
	req, err := http.NewRequestWithContext(ctx, method, base+"/controlplanes"+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, fmt.Errorf("data plane endpoint: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := c.hc.Do(req)
	if err != nil {
		return 0, nil, fmt.Errorf("call data plane: %w", err)
	}
	defer func() { _ = res.Body.Close() }()
	if answer, err = io.ReadAll(io.LimitReader(res.Body, maxAnswer)); err != nil {
		return 0, nil, fmt.Errorf("read data plane's answer: %w", err)
	}
	return res.StatusCode, answer, nil
}

// own is a token that the control plane signs itself: it is the registered one, and the data plane is who shall hear it.
func (c *Client) own(ctx context.Context, cp *config.ControlPlane, p *model.DataPlane) (string, error) {
	return c.minter.Mint(ctx, cp.ID, []string{p.ID}, "")
}
