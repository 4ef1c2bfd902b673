package auth

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/tenant"
)

// Parameters of a token exchange (RFC 8693, section 2.1).
const (
	grantTypeTokenExchange = "urn:ietf:params:oauth:grant-type:token-exchange" //nolint:gosec // G101: a name, no credential
	tokenTypeJWT           = "urn:ietf:params:oauth:token-type:jwt"            //nolint:gosec // G101: as above
)

// assumedLifetime is how long a token counts as good if the token endpoint does not say.
const assumedLifetime = 5 * time.Minute

// grant makes one request at a token endpoint. Both grants go through clientcredentials.Config: an exchange is the same
// form with another grant_type and without client authentication.
type grant struct {
	conf   clientcredentials.Config // remembers how the endpoint wants the client authenticated
	client *http.Client
	secret string                                             // the file that is read before each request; "" = none
	apply  func(conf *clientcredentials.Config, value string) // puts the file's value into the request
}

func clientCredentials(a tenant.Auth, hc *http.Client) *grant {
	return &grant{
		client: withoutRedirects(hc),
		conf:   clientcredentials.Config{TokenURL: a.TokenEndpoint, ClientID: a.ClientID, Scopes: a.Scopes},
		secret: a.ClientSecretFile,
		apply:  func(c *clientcredentials.Config, v string) { c.ClientSecret = v },
	}
}

func tokenExchange(a tenant.Auth, participantContextID string, hc *http.Client) *grant {
	params := url.Values{
		"grant_type":         {grantTypeTokenExchange},
		"subject_token_type": {tokenTypeJWT},
		"resource":           {participantContextID},
	}
	if a.Audience != "" {
		params.Set("audience", a.Audience)
	}
	return &grant{
		client: withoutRedirects(hc),
		conf: clientcredentials.Config{
			TokenURL: a.TokenEndpoint, Scopes: a.Scopes, EndpointParams: params,
			AuthStyle: oauth2.AuthStyleInParams, // there is no client to authenticate
		},
		secret: a.SubjectTokenFile,
		apply:  func(c *clientcredentials.Config, v string) { c.EndpointParams.Set("subject_token", v) },
	}
}

// fetch asks for a token. The caller sees to it that there is one call at a time.
func (g *grant) fetch(ctx context.Context) (token string, expiry time.Time, err error) {
	if g.secret != "" {
		secret, err := readSecret(g.secret)
		if err != nil {
			return "", time.Time{}, err
		}
		g.apply(&g.conf, secret)
	}
	t, err := g.conf.Token(context.WithValue(ctx, oauth2.HTTPClient, g.client))
	if err != nil {
		return "", time.Time{}, g.explain(ctx, err)
	}
	if !strings.EqualFold(t.Type(), "bearer") || !isToken68(t.AccessToken) {
		return "", time.Time{}, problem.New(problem.Upstream, "token endpoint %s: answered with no bearer token", g.conf.TokenURL)
	}
	if t.Expiry.IsZero() {
		t.Expiry = time.Now().Add(assumedLifetime)
	}
	return t.AccessToken, t.Expiry, nil
}

// errorCode is the form of OAuth's error codes (RFC 6749, section 5.2). Nothing else of an error reply is passed on: a
// description may repeat what was sent.
var errorCode = regexp.MustCompile(`^[a-z_]{1,40}$`)

func (g *grant) explain(ctx context.Context, err error) error {
	where := "token endpoint " + g.conf.TokenURL
	if re, ok := errors.AsType[*oauth2.RetrieveError](err); ok {
		code := re.ErrorCode
		if !errorCode.MatchString(code) {
			code = "no error code"
		}
		status := re.Response.StatusCode
		kind := problem.Upstream
		if status >= http.StatusInternalServerError || status == http.StatusTooManyRequests {
			kind = problem.Unavailable
		}
		return problem.New(kind, "%s: answered %d (%s)", where, status, code)
	}
	if ctx.Err() != nil {
		return problem.Wrap(problem.Unavailable, ctx.Err(), "%s: gave no answer in time", where)
	}
	if ue, ok := errors.AsType[*url.Error](err); ok {
		return problem.Wrap(problem.Unavailable, ue.Err, "%s: cannot be reached", where)
	}
	return problem.New(problem.Upstream, "%s: its answer is no token response", where)
}

func withoutRedirects(hc *http.Client) *http.Client {
	c := http.Client{}
	if hc != nil {
		c = *hc
	}
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &c
}

func absoluteURL(field, s string) error {
	u, err := url.Parse(s)
	if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" || u.User != nil {
		return problem.Field(field, "is no absolute http(s) URL without userinfo")
	}
	return nil
}
