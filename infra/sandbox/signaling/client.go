// Package signaling is the control plane's end of Data Plane Signaling: it calls data planes as EDC does, dialects and quirks
// included. It shares no code with Tidegate's own DPS package on purpose: a mistake there must not be hidden by the same
// mistake here.
package signaling

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/infra/sandbox/config"
	"github.com/tidegate/tidegate/infra/sandbox/misbehave"
	"github.com/tidegate/tidegate/infra/sandbox/model"
)

// maxAnswer bounds what is read of a data plane's answer, in bytes.
const maxAnswer = 1 << 20

// Minter issues the tokens that stand for the control plane's own workload in a token exchange.
type Minter interface {
	Mint(ctx context.Context, sub string, aud []string, scope string) (string, error)
}

// Client calls data planes.
type Client struct {
	publicURL string
	callback  string // the signaling URL, which older dialects carry in messages
	delays    config.Delays
	hc        *http.Client
	minter    Minter
	injector  *misbehave.Injector
	log       zerolog.Logger

	registrations *registrations
}

// NewClient returns a client.
func NewClient(c *config.Config, m Minter, inj *misbehave.Injector, hc *http.Client, log zerolog.Logger) *Client {
	return &Client{
		publicURL: c.PublicURL, callback: c.PublicURL + "/signaling", delays: c.Delays, hc: hc, minter: m, injector: inj, log: log,
		registrations: newRegistrations(c),
	}
}

// Flow is what prepare and start tell a data plane.
type Flow struct {
	Dialect           string
	Consumer          bool   // the plane is the consumer's
	ParticipantID     string // DSP identity of the side that owns the plane
	CounterPartyID    string
	Protocol          string
	ProcessID         string
	AgreementID       string
	DatasetID         string
	TransferType      string
	Claims            map[string]any
	DataplaneMetadata *model.DataplaneMetadata
	DataAddress       *model.DataAddress
}

// Answer is what EDC reads of the answer to prepare, start and resume.
type Answer struct {
	State       string
	DataAddress *model.DataAddress
}

// Async reports whether the data plane will answer by a callback: EDC looks at the end of the state's name.
func (a *Answer) Async() bool { return strings.HasSuffix(a.State, "ING") }

// RefusedError is an answer that is no success; it is fatal, whatever its status.
type RefusedError struct{ Detail string }

func (r *RefusedError) Error() string { return r.Detail }

// Prepare calls /prepare.
func (c *Client) Prepare(ctx context.Context, p *model.DataPlane, f *Flow) (*Answer, error) {
	return c.answered(ctx, p, "/prepare", c.flowMessage(f, false))
}

// Start calls /start.
func (c *Client) Start(ctx context.Context, p *model.DataPlane, f *Flow) (*Answer, error) {
	return c.answered(ctx, p, "/start", c.flowMessage(f, true))
}

// Resume calls /{id}/resume, or in the dialects that have none /start again, and /{id}/started again for a consumer's plane.
func (c *Client) Resume(ctx context.Context, p *model.DataPlane, f *Flow) (*Answer, error) {
	switch {
	case !old(f.Dialect):
	case f.Consumer:
		return &Answer{State: model.Started}, c.Started(ctx, p, f)
	default:
		return c.Start(ctx, p, f)
	}
	m := map[string]any{"messageId": uuid.NewString(), "processId": uuid.NewString()} // EDC sends a random processId
	if f.DataAddress != nil {
		m["dataAddress"] = wire(f.DataAddress)
	}
	return c.answered(ctx, p, "/"+f.ProcessID+"/resume", m)
}

// Started calls /{id}/started.
func (c *Client) Started(ctx context.Context, p *model.DataPlane, f *Flow) error {
	_, err := c.call(ctx, p, "/"+f.ProcessID+"/started", startedMessage(f))
	return err
}

// old tells whether a dialect is one of those without resume, and without messageId in most messages.
func old(dialect string) bool { return dialect == config.Dialect017 || dialect == config.Dialect016 }

func startedMessage(f *Flow) map[string]any {
	m := map[string]any{}
	if !old(f.Dialect) {
		m["messageId"] = uuid.NewString()
	}
	if f.DataAddress != nil {
		m["dataAddress"] = wire(f.DataAddress)
	}
	return m
}

// Suspend calls /{id}/suspend; EDC's reason is always the same.
func (c *Client) Suspend(ctx context.Context, p *model.DataPlane, f *Flow) error {
	m := map[string]any{}
	switch f.Dialect {
	case config.Dialect017: // an empty message
	default:
		m = map[string]any{"messageId": uuid.NewString(), "reason": "suspend"}
	}
	_, err := c.call(ctx, p, "/"+f.ProcessID+"/suspend", m)
	return err
}

// Terminate calls /{id}/terminate.
func (c *Client) Terminate(ctx context.Context, p *model.DataPlane, f *Flow) error {
	m := map[string]any{}
	if !old(f.Dialect) {
		m["messageId"] = uuid.NewString()
	}
	_, err := c.call(ctx, p, "/"+f.ProcessID+"/terminate", m)
	return err
}

// Completed calls /{id}/completed with an empty object.
func (c *Client) Completed(ctx context.Context, p *model.DataPlane, f *Flow) error {
	_, err := c.call(ctx, p, "/"+f.ProcessID+"/completed", map[string]any{})
	return err
}

func (c *Client) flowMessage(f *Flow, start bool) map[string]any {
	m := map[string]any{
		"messageId": uuid.NewString(), "participantId": f.ParticipantID, "counterPartyId": f.CounterPartyID,
		"dataspaceContext": f.Protocol, "processId": f.ProcessID, "agreementId": f.AgreementID, "datasetId": f.DatasetID,
		"callbackAddress": nil, "labels": []string{}, "metadata": map[string]any{}, "claims": f.Claims,
	}
	if md := f.DataplaneMetadata; md != nil {
		if md.Labels != nil {
			m["labels"] = md.Labels
		}
		if md.Properties != nil {
			m["metadata"] = md.Properties
		}
	}
	if f.Dialect == config.DialectHead {
		m["profile"] = f.TransferType
	} else {
		m["transferType"] = f.TransferType
		m["callbackAddress"] = c.callback
	}
	if f.Dialect == config.Dialect017 && start { // 0.17 sends assignee and assigner, the wrong way round for a provider
		m["participantId"], m["counterPartyId"] = f.CounterPartyID, f.ParticipantID
	}
	if f.Dialect == config.Dialect016 {
		delete(m, "claims")
		delete(m, "dataspaceContext")
	}
	switch {
	case f.DataAddress != nil:
		m["dataAddress"] = wire(f.DataAddress)
	case old(f.Dialect):
		m["dataAddress"] = nil
	}
	return m
}

// wire is an address as EDC relays it: all of its properties, its type and endpoint among them once more.
func wire(a *model.DataAddress) map[string]any {
	props := []any{property(model.NS+"type", a.EndpointType), property(model.NS+"endpoint", a.Endpoint)}
	for _, k := range slices.Sorted(maps.Keys(a.Properties)) {
		if k != model.NS+"type" && k != model.NS+"endpoint" {
			props = append(props, property(k, a.Properties[k]))
		}
	}
	return map[string]any{"@type": "DataAddress", "endpointType": a.EndpointType, "endpoint": a.Endpoint, "endpointProperties": props}
}

func property(name, value string) map[string]any {
	return map[string]any{"@type": "EndpointProperty", "name": name, "value": value}
}

func (c *Client) answered(ctx context.Context, p *model.DataPlane, path string, m map[string]any) (*Answer, error) {
	b, err := c.call(ctx, p, path, m)
	if err != nil {
		return nil, err
	}
	a, err := DecodeAnswer(b)
	if err != nil {
		return nil, &RefusedError{Detail: "Data plane answered " + path + " with a body that cannot be read: " + err.Error()}
	}
	return a, nil
}

// call makes one call. Only a call without an answer is repeated, the same message again, with growing pauses.
func (c *Client) call(ctx context.Context, p *model.DataPlane, path string, m map[string]any) ([]byte, error) {
	body, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode signal: %w", err)
	}
	pause := c.delays.IOBackoff
	for attempt := 1; ; attempt++ {
		answer, err := c.once(ctx, p, path, body)
		var refused *RefusedError
		if err == nil {
			c.repeat(ctx, p, path, m, body)
			return answer, nil
		}
		if errors.As(err, &refused) || attempt >= c.delays.IORetries || ctx.Err() != nil {
			return nil, err
		}
		c.log.Info().Err(err).Str("dataplane", p.ID).Str("path", path).Int("attempt", attempt).Msg("data plane did not answer")
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(pause):
		}
		pause = min(2*pause, 10*time.Second)
	}
}

// repeat makes the call again if the participant's misbehaviour says so; the answers are of no interest.
func (c *Client) repeat(ctx context.Context, p *model.DataPlane, path string, m map[string]any, body []byte) {
	same, fresh := c.injector.DPS(p.ParticipantContextID)
	if same {
		_, err := c.once(ctx, p, path, body)
		c.log.Info().AnErr("answer", err).Str("dataplane", p.ID).Str("path", path).Msg("signal sent twice on purpose")
	}
	if _, ok := m["messageId"]; fresh && ok {
		again := maps.Clone(m)
		again["messageId"] = uuid.NewString()
		if b, err := json.Marshal(again); err == nil {
			_, err = c.once(ctx, p, path, b)
			c.log.Info().AnErr("answer", err).Str("dataplane", p.ID).Str("path", path).Msg("signal sent twice on purpose, with a new messageId")
		}
	}
}

func (c *Client) once(ctx context.Context, p *model.DataPlane, path string, body []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, c.delays.DPSTimeout)
	defer cancel()
	token, err := c.token(ctx, p)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.Endpoint+path, bytes.NewReader(body))
	if err != nil {
		return nil, &RefusedError{Detail: "Data plane endpoint: " + err.Error()}
	}
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := c.hc.Do(req)
	if err != nil {
		return nil, fmt.Errorf("call data plane: %w", err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	if err != nil {
		return nil, fmt.Errorf("read data plane's answer: %w", err)
	}
	if len(b) > maxAnswer {
		return nil, &RefusedError{Detail: "Data plane answered with more than 1 MiB"}
	}
	if res.StatusCode/100 != 2 {
		return nil, &RefusedError{Detail: fmt.Sprintf("Data plane responded with Response{protocol=http/1.1, code=%d, message=%s, url=%s}. Body: %s.",
			res.StatusCode, http.StatusText(res.StatusCode), p.Endpoint+path, truncate(b))}
	}
	return b, nil
}

func truncate(b []byte) string {
	const most = 2048
	if len(b) > most {
		return string(b[:most]) + "…"
	}
	return string(b)
}
