package signaling

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/tidegate/tidegate/infra/sandbox/model"
)

// The authorization types of a registration.
const (
	TypeClientCredentials = "oauth2_client_credentials" //nolint:gosec // the name of a protocol
	TypeTokenExchange     = "oauth2_token_exchange"     //nolint:gosec // the name of a protocol
)

// workload is the sub of the control plane's own workload token.
const workload = "system:serviceaccount:edc-v:controlplane"

// token gets a token for one call: never cached, since EDC does not cache either. No authorization registered: no token.
func (c *Client) token(ctx context.Context, p *model.DataPlane) (string, error) {
	get := func(k string) string { s, _ := p.Authorization[k].(string); return s }
	if cp := c.registrations.of(p); cp != nil {
		return c.own(ctx, cp, p)
	}
	switch t := get("type"); {
	case p.Authorization == nil:
		return "", nil
	case t == TypeClientCredentials:
		return c.requestToken(ctx, get("tokenEndpoint"), url.Values{
			"grant_type": {"client_credentials"}, "client_id": {get("clientId")}, "client_secret": {get("clientSecret")},
		})
	case t == TypeTokenExchange:
		endpoint := get("tokenExchangeEndpoint")
		subject, err := c.minter.Mint(ctx, workload, []string{endpoint}, "")
		if err != nil {
			return "", err
		}
		form := url.Values{
			"grant_type":    {"urn:ietf:params:oauth:grant-type:token-exchange"},
			"subject_token": {subject}, "subject_token_type": {"urn:ietf:params:oauth:token-type:jwt"},
			"resource": {get("resource")}, "audience": {"edcv"},
		}
		if a := get("audience"); a != "" {
			form.Set("audience", a)
		}
		if s := get("scope"); s != "" {
			form.Set("scope", s)
		}
		return c.requestToken(ctx, endpoint, form)
	default:
		return "", &RefusedError{Detail: fmt.Sprintf("Authorization profile '%s' not supported", t)}
	}
}

func (c *Client) requestToken(ctx context.Context, endpoint string, form url.Values) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return "", &RefusedError{Detail: "Token endpoint: " + err.Error()}
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	res, err := c.hc.Do(req)
	if err != nil {
		return "", fmt.Errorf("call token endpoint: %w", err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return "", fmt.Errorf("read token: %w", err)
	}
	var t struct {
		AccessToken string `json:"access_token"`
	}
	if res.StatusCode/100 != 2 || json.Unmarshal(b, &t) != nil || t.AccessToken == "" {
		return "", &RefusedError{Detail: fmt.Sprintf("Failed to get an access token for the data plane: token endpoint answered %d", res.StatusCode)}
	}
	return t.AccessToken, nil
}
