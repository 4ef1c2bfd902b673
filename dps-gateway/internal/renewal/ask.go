package renewal

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/tidegate/tidegate/dps-gateway/internal/flowstore"
	"github.com/tidegate/tidegate/shared/did"
	"github.com/tidegate/tidegate/shared/dps"
	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/tenant"
)

const (
	assertionTime = 5 * time.Minute
	maxAnswer     = 64 << 10 // bytes
	maxLife       = 10 * 365 * 24 * 3600
)

// ask asks the other side for a new pair. The error is of kind Conflict if it refuses, else it may be asked again.
func (r *Renewer) ask(ctx context.Context, t *tenant.Tenant, h *flowstore.HeldAddress) (fresh *dps.DataAddress, err error) {
	for range attempts {
		fresh, err = r.askOnce(ctx, t, h)
		if err == nil || problem.Is(err, problem.Conflict) || ctx.Err() != nil {
			return fresh, err
		}
	}
	return nil, err
}

func (r *Renewer) askOnce(ctx context.Context, t *tenant.Tenant, h *flowstore.HeldAddress) (*dps.DataAddress, error) {
	ctx, cancel := context.WithTimeout(ctx, attemptTime)
	defer cancel()
	now := time.Now()
	assertion, err := did.SignAssertion(ctx, r.signer(t.Renewal.Key), t.Renewal.Key.ID, map[string]any{
		"iss": t.DID, "sub": t.DID, "aud": h.CounterPartyID, "jti": rand.Text(), "iat": now.Unix(), "exp": now.Add(assertionTime).Unix(),
		"token": h.Address.Property(dps.PropertyAuthorization),
	})
	if err != nil {
		return nil, err
	}
	endpoint := h.Address.Property(dps.PropertyRefreshEndpoint)
	if endpoint == "" {
		endpoint = h.Address.Endpoint
	}
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {h.Address.Property(dps.PropertyRefreshToken)}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, problem.New(problem.Conflict, "the refresh endpoint is no URL") // the cause would show it
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Authorization", "Bearer "+assertion)
	res, err := r.Peers.Do(req)
	if err != nil {
		if u, ok := errors.AsType[*url.Error](err); ok { // without the endpoint, which may hold a secret
			err = u.Err
		}
		return nil, problem.Wrap(problem.Unavailable, err, "the refresh endpoint can't be reached")
	}
	defer func() { _ = res.Body.Close() }() // read to its end or given up
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	if err != nil || len(body) > maxAnswer {
		return nil, problem.Wrap(problem.Unavailable, err, "the answer of the refresh endpoint broke off, or is too long")
	}
	if res.StatusCode != http.StatusOK {
		return nil, refusal(res.StatusCode, body)
	}
	return renewedAddress(h.Address, body)
}

// errorCode is the form of OAuth's error codes. Nothing else of a refusal is passed on: a description may repeat what was sent.
var errorCode = regexp.MustCompile(`^[a-z_]{1,40}$`)

func refusal(status int, body []byte) error {
	var doc struct {
		Error string `json:"error"`
	}
	if json.Unmarshal(body, &doc) != nil || !errorCode.MatchString(doc.Error) {
		doc.Error = "no error code"
	}
	if status >= 500 || status == http.StatusTooManyRequests || status == http.StatusRequestTimeout {
		return problem.New(problem.Unavailable, "the refresh endpoint answered %d (%s)", status, doc.Error)
	}
	return problem.Wrap(problem.Conflict, problem.New(problem.Conflict, "it answered %d (%s)", status, doc.Error), textRefused)
}

// renewedAddress puts the answer of a refresh endpoint (RFC 6749, section 5.1) into a copy of the address. What it leaves out stays.
func renewedAddress(old *dps.DataAddress, body []byte) (*dps.DataAddress, error) {
	var doc struct {
		AccessToken  string      `json:"access_token"`
		TokenType    string      `json:"token_type"`
		ExpiresIn    json.Number `json:"expires_in"`
		RefreshToken string      `json:"refresh_token"`
	}
	if err := json.Unmarshal(body, &doc); err != nil || doc.AccessToken == "" {
		return nil, problem.New(problem.Upstream, "the answer of the refresh endpoint holds no access token")
	}
	if doc.TokenType != "" && !strings.EqualFold(doc.TokenType, "bearer") {
		return nil, problem.New(problem.Upstream, "the answer of the refresh endpoint holds no bearer token")
	}
	out := old.With(dps.PropertyAuthorization, doc.AccessToken)
	if doc.ExpiresIn != "" {
		f, err := doc.ExpiresIn.Float64()
		if err != nil || f < 1 || f > maxLife {
			return nil, problem.New(problem.Upstream, "the answer of the refresh endpoint says no life of the token")
		}
		out = out.With(dps.PropertyExpiresIn, strconv.Itoa(int(f)))
	}
	if doc.RefreshToken != "" {
		out = out.With(dps.PropertyRefreshToken, doc.RefreshToken)
	}
	return out, nil
}
