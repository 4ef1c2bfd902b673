package auth

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

// Exchange says what is asked for in a token exchange (RFC 8693; Data Plane Signaling, profile oauth2_token_exchange). No client is
// authenticated: the workload's own token says who asks.
type Exchange struct {
	Endpoint         string
	SubjectTokenFile string // the workload's token, read anew for each exchange
	Resource         string // the principal that we want to be
	Audience         string // the receiver of the token
	Scopes           []string
}

// ClientCredentials says how a token is got with a client's secret (RFC 6749, section 4.4), which somebody else has given us.
type ClientCredentials struct {
	Endpoint, ClientID, Secret string
}

// ForExchange returns a source of tokens for calls that are authenticated by token exchange. See perCall for how long it keeps one.
func ForExchange(e Exchange, hc *http.Client) TokenSource {
	return &perCall{grant: func() *grant {
		params := url.Values{
			"grant_type": {grantTypeTokenExchange}, "subject_token_type": {tokenTypeJWT}, "requested_token_type": {tokenTypeJWT},
			"resource": {e.Resource}, "audience": {e.Audience},
		}
		return &grant{
			client: withoutRedirects(hc), secret: e.SubjectTokenFile,
			conf:  clientcredentials.Config{TokenURL: e.Endpoint, Scopes: e.Scopes, EndpointParams: params, AuthStyle: oauth2.AuthStyleInParams},
			apply: func(c *clientcredentials.Config, v string) { c.EndpointParams.Set("subject_token", v) },
		}
	}}
}

// ForClient returns a source of tokens for calls that are authenticated by client credentials. See perCall for how long it keeps one.
func ForClient(c ClientCredentials, hc *http.Client) TokenSource {
	return &perCall{grant: func() *grant {
		return &grant{
			client: withoutRedirects(hc),
			conf:   clientcredentials.Config{TokenURL: c.Endpoint, ClientID: c.ClientID, ClientSecret: c.Secret, AuthStyle: oauth2.AuthStyleInParams},
		}
	}}
}

// perCall gives tokens for calls whose receiver looks out for replays: a token with an id (jti) is good for one call, and is not
// kept. One without is kept until shortly before it expires. The one who asks for a token need not look into it, but this one must: a
// receiver takes the second call with the same id for a replay (Data Plane Signaling, authorization profiles).
type perCall struct {
	grant func() *grant

	mu      sync.Mutex
	token   string
	renewAt time.Time
}

// Token implements TokenSource.
func (s *perCall) Token(ctx context.Context) (string, error) {
	s.mu.Lock()
	token, good := s.token, time.Now().Before(s.renewAt)
	s.mu.Unlock()
	if good {
		return token, nil
	}
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	began := time.Now()
	token, expiry, err := s.grant().fetch(ctx)
	if err != nil {
		return "", err
	}
	if !hasID(token) {
		s.mu.Lock()
		s.token, s.renewAt = token, expiry.Add(-min(maxEarly, expiry.Sub(began)/10))
		s.mu.Unlock()
	}
	return token, nil
}

// Invalidate implements TokenSource.
func (s *perCall) Invalidate(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.token == token {
		s.token, s.renewAt = "", time.Time{}
	}
}

// hasID tells whether a token is a JWT with the claim jti. It says nothing of the signature.
func hasID(token string) bool {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return false
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return false
	}
	var claims struct {
		ID any `json:"jti"`
	}
	return json.Unmarshal(payload, &claims) == nil && claims.ID != nil
}
