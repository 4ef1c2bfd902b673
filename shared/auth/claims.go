package auth

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/strictjson"
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

	notBefore time.Time
	payload   []byte
}

// HasAudience tells whether the token is meant for aud.
func (c *Claims) HasAudience(aud string) bool { return slices.Contains(c.Audience, aud) }

// HasScope tells whether scope is one of the token's scopes.
func (c *Claims) HasScope(scope string) bool { return slices.Contains(strings.Fields(c.Scope), scope) }

// All reads every claim, by its name. It reads them anew each time.
func (c *Claims) All() map[string]any {
	var all map[string]any
	_ = json.Unmarshal(c.payload, &all) // it was read before
	return all
}

// ReadClaims reads the claims of a JWT's payload and checks its times, without a word on its signature: for callers that check that
// themselves. Its error is of kind Unauthenticated.
func ReadClaims(payload []byte, now time.Time, leeway time.Duration) (*Claims, error) {
	c, err := parseClaims(payload)
	if err == nil {
		err = c.inTime(now, leeway)
	}
	if err != nil {
		return nil, err
	}
	return c, nil
}

// Token is a JWT that was read. Nothing of it is verified.
type Token struct {
	jws    *jws
	claims *Claims
}

// ReadToken reads a JWT. Its error is of kind Unauthenticated.
func ReadToken(token string) (*Token, error) {
	t, err := split(token)
	if err != nil {
		return nil, err
	}
	c, err := parseClaims(t.payload)
	if err != nil {
		return nil, err
	}
	return &Token{t, c}, nil
}

// ClaimedSubject is the sub that the token claims to have: it only tells by whose keys to verify it.
func (t *Token) ClaimedSubject() string { return t.claims.Subject }

// parseClaims reads the claims of a payload that are looked at (RFC 7519, section 4.1; RFC 8693, section 4.2).
func parseClaims(payload []byte) (*Claims, error) {
	all, err := strictjson.Parse(payload)
	if err != nil {
		return nil, refused("its payload " + err.Error())
	}
	r := claimReader{all: all}
	c := &Claims{
		Issuer: r.text("iss"), Subject: r.text("sub"), ID: r.text("jti"), Scope: r.scope(), Audience: r.list("aud"),
		Expiry: r.time("exp"), IssuedAt: r.time("iat"), notBefore: r.time("nbf"), payload: payload,
	}
	if r.bad != "" {
		return nil, refused("its claim " + r.bad + " is of the wrong type")
	}
	return c, nil
}

// inTime checks the times: exp must be there and ahead, iat and nbf, if there, must not be ahead (RFC 7519, section 4.1).
func (c *Claims) inTime(now time.Time, leeway time.Duration) error {
	switch {
	case c.Expiry.IsZero():
		return refused("it has no claim exp")
	case !now.Before(c.Expiry.Add(leeway)):
		return refused("it has expired (claim exp)")
	case c.IssuedAt.After(now.Add(leeway)):
		return refused("it is issued in the future (claim iat)")
	case c.notBefore.After(now.Add(leeway)):
		return refused("it is not valid yet (claim nbf)")
	}
	return nil
}

// claimReader reads claims by type and remembers the first that has another.
type claimReader struct {
	all strictjson.Object
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
	v := r.all[name]
	if v == nil {
		return time.Time{}
	}
	number, ok := v.(json.Number)
	seconds, err := number.Float64()
	if !ok || err != nil || seconds <= 0 || seconds > 1<<40 { // the year 36812: beyond, the conversion would be undefined one day
		r.fail(name)
		return time.Time{}
	}
	whole, frac := math.Modf(seconds)
	return time.Unix(int64(whole), int64(frac*1e9))
}

func refused(why string) error {
	return problem.New(problem.Unauthenticated, "the token is refused: %s", why)
}
