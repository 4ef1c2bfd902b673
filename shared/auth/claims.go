package auth

import (
	"encoding/base64"
	"encoding/json"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/tidegate/tidegate/shared/problem"
)

// Claims are the claims of a verified token.
type Claims struct {
	Issuer   string
	Subject  string
	Audience []string
	ID       string // jti
	Scope    string
	Expiry   time.Time
	IssuedAt time.Time
	All      map[string]any
}

// HasAudience tells whether the token is meant for aud.
func (c *Claims) HasAudience(aud string) bool { return slices.Contains(c.Audience, aud) }

// HasScope tells whether scope is one of the token's scopes.
func (c *Claims) HasScope(scope string) bool { return slices.Contains(strings.Fields(c.Scope), scope) }

// ReadClaims reads the claims of a JWT's payload and checks its times, without a word on its signature: for callers that check that
// themselves. Its error is of kind Unauthenticated.
func ReadClaims(payload []byte, now time.Time, leeway time.Duration) (*Claims, error) {
	return parseClaims(payload, now, leeway)
}

// ClaimedSubject is the sub that a JWT claims to have. Nothing is verified: it only tells by whose keys to verify it.
func ClaimedSubject(token string) string {
	if len(token) > maxToken {
		return ""
	}
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return ""
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return ""
	}
	var c struct {
		Subject string `json:"sub"`
	}
	if json.Unmarshal(payload, &c) != nil {
		return ""
	}
	return c.Subject
}

// parseClaims reads the claims of a payload whose signature holds, and checks the times: exp must be there and ahead, iat
// and nbf, if there, must not be ahead (RFC 7519, section 4.1).
func parseClaims(payload []byte, now time.Time, leeway time.Duration) (*Claims, error) {
	var all map[string]any
	if err := json.Unmarshal(payload, &all); err != nil || all == nil {
		return nil, refused("its claims are no JSON object")
	}
	r := claimReader{all: all}
	c := &Claims{
		Issuer: r.text("iss"), Subject: r.text("sub"), ID: r.text("jti"), Scope: r.scope(), Audience: r.list("aud"),
		Expiry: r.time("exp"), IssuedAt: r.time("iat"), All: all,
	}
	notBefore := r.time("nbf")
	switch {
	case r.bad != "":
		return nil, refused("its claim " + r.bad + " is of the wrong type")
	case c.Expiry.IsZero():
		return nil, refused("it has no claim exp")
	case !now.Before(c.Expiry.Add(leeway)):
		return nil, refused("it has expired")
	case c.IssuedAt.After(now.Add(leeway)):
		return nil, refused("it is issued in the future")
	case notBefore.After(now.Add(leeway)):
		return nil, refused("it is not valid yet")
	}
	return c, nil
}

// claimReader reads claims by type and remembers the first that has another.
type claimReader struct {
	all map[string]any
	bad string
}

func (r *claimReader) fail(name string) {
	if r.bad == "" {
		r.bad = name
	}
}

func (r *claimReader) text(name string) string {
	switch v := r.all[name].(type) {
	case nil:
		return ""
	case string:
		return v
	default:
		r.fail(name)
		return ""
	}
}

// scope also takes a list, as some providers send it.
func (r *claimReader) scope() string { return strings.Join(r.list("scope"), " ") }

func (r *claimReader) list(name string) []string {
	switch v := r.all[name].(type) {
	case nil:
		return nil
	case string:
		return []string{v}
	case []any:
		out := make([]string, 0, len(v))
		for _, e := range v {
			s, ok := e.(string)
			if !ok {
				r.fail(name)
				return nil
			}
			out = append(out, s)
		}
		return out
	default:
		r.fail(name)
		return nil
	}
}

// time reads a NumericDate: seconds since 1970, fractions allowed.
func (r *claimReader) time(name string) time.Time {
	switch v := r.all[name].(type) {
	case nil:
		return time.Time{}
	case float64:
		if v <= 0 || v > 1<<40 { // the year 36812: beyond, the conversion would be undefined one day
			r.fail(name)
			return time.Time{}
		}
		sec, frac := math.Modf(v)
		return time.Unix(int64(sec), int64(frac*1e9))
	default:
		r.fail(name)
		return time.Time{}
	}
}

func refused(why string) error {
	return problem.New(problem.Unauthenticated, "the token is refused: %s", why)
}
