package token

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/dps-gateway/internal/flowstore"
	"github.com/tidegate/tidegate/shared/auth"
	"github.com/tidegate/tidegate/shared/did"
	"github.com/tidegate/tidegate/shared/dps"
	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/tenant"
)

const (
	maxForm        = 16 << 10 // bytes of a body
	formTime       = 10 * time.Second
	maxAssertionIn = time.Hour // until a client's JWT ends, at most: its id is remembered until then
	maxText        = 2048      // bytes of a jti
)

// Flows is what the endpoint needs of the flows; *flowstore.Redis has it.
type Flows interface {
	Get(ctx context.Context, pc, id string) (*flowstore.Flow, error)
	Rotate(ctx context.Context, r *flowstore.Rotation) (flowstore.Rotated, error)
}

// DIDs checks signatures by the keys of a DID's document; *did.Resolver does.
type DIDs interface {
	Check(ctx context.Context, id string, a *did.Assertion) error
}

// Tenants are the tenants in force.
type Tenants interface {
	Get(participantContextID string) (*tenant.Tenant, bool)
}

// Endpoint is the refresh endpoint of our data addresses: POST with grant_type=refresh_token (RFC 6749, section 6), parameters in
// the body or in the query, and the client known by a JWT that a key of its DID document has signed (token renewal profile).
//
// Who the client is comes first: until it has proven to be the counterparty of the flow that the refresh token names, every
// defect is invalid_client; from then on every one is invalid_grant. No DID but that of a flow's counterparty is ever resolved.
//
// A refresh gives a new access token and a new refresh token. The old pair stays good until the new one is used, so an answer
// that was lost is had by asking again. What is older is refused, and revokes nothing: without the client's key a stolen token is
// worth nothing, and a client that runs twice should not lose its transfer.
type Endpoint struct {
	Issuer  *Issuer
	Flows   Flows
	Tenants Tenants
	DIDs    DIDs
	Log     zerolog.Logger

	limit limiter
}

// fault is a refusal (RFC 6749, section 5.2).
type fault struct {
	status int
	code   string
	cause  error // logged
	wait   time.Duration
}

func (f *fault) Error() string {
	if f.cause != nil {
		return f.code + ": " + f.cause.Error()
	}
	return f.code
}

func invalidRequest(why string) error {
	return &fault{status: http.StatusBadRequest, code: "invalid_request", cause: errors.New(why)}
}

func invalidClient(cause error) error {
	return &fault{status: http.StatusUnauthorized, code: "invalid_client", cause: cause}
}

func invalidGrant(why string) error {
	return &fault{status: http.StatusBadRequest, code: "invalid_grant", cause: errors.New(why)}
}

// passing is what may be tried again. RFC 6749 has no code for it at this endpoint; this is the one of its section 4.1.2.1.
func passing(status int, cause error) error {
	return &fault{status: status, code: "temporarily_unavailable", cause: cause, wait: time.Second}
}

// ServeHTTP implements http.Handler.
func (e *Endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(formTime)) // not every server can
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("Pragma", "no-cache")
	h.Set("X-Content-Type-Options", "nosniff")
	answer, pc, err := e.refresh(w, r)
	if err == nil {
		_, _ = w.Write(answer) //nolint:gosec // JSON that we made, of type JSON; a client that is gone asks again
		return
	}
	f, ok := errors.AsType[*fault](err)
	if !ok {
		f = &fault{status: http.StatusServiceUnavailable, code: "temporarily_unavailable", cause: err, wait: time.Second}
	}
	if f.status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Bearer realm="token"`)
	}
	if f.wait > 0 {
		h.Set("Retry-After", strconv.Itoa(int(max(f.wait/time.Second, 1))))
	}
	level := zerolog.InfoLevel
	if f.status >= http.StatusInternalServerError {
		level = zerolog.WarnLevel
	}
	e.Log.WithLevel(level).Str("listener", "public").Str("participant_context", pc).Int("status", f.status).Err(f).Msg("renewal refused")
	w.WriteHeader(f.status)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": f.code})
}

func (e *Endpoint) refresh(w http.ResponseWriter, r *http.Request) (answer []byte, pc string, err error) {
	presented, err := parameters(w, r)
	if err != nil {
		return nil, "", err
	}
	bearer, ok := auth.Bearer(r.Header)
	if !ok {
		return nil, "", invalidClient(errors.New("no bearer token"))
	}
	assertion, err := client(bearer)
	if err != nil {
		return nil, "", err
	}
	pc, id, ok := parseRefresh(presented)
	if !ok {
		return nil, "", invalidClient(errors.New("the refresh token is none of ours"))
	}
	t, ok := e.Tenants.Get(pc)
	if !ok {
		return nil, "", invalidClient(errors.New("no such tenant"))
	}
	if !e.limit.allow(pc, id) {
		return nil, pc, passing(http.StatusTooManyRequests, errors.New("too many requests for one flow"))
	}
	flow, err := e.Flows.Get(r.Context(), pc, id)
	switch {
	case problem.Is(err, problem.NotFound):
		return nil, pc, invalidClient(errors.New("no such flow"))
	case err != nil:
		return nil, pc, err
	}
	c := assertion.Claims
	if c.Issuer != flow.CounterPartyID || !c.HasAudience(t.DID) || !dps.OwnsAddress(flow.Role, flow.Direction) {
		return nil, pc, invalidClient(errors.New("the assertion is not the counterparty's, or for another audience"))
	}
	if err := e.DIDs.Check(r.Context(), flow.CounterPartyID, assertion); err != nil {
		if problem.Is(err, problem.Unauthenticated) {
			return nil, pc, invalidClient(err)
		}
		return nil, pc, passing(http.StatusServiceUnavailable, err)
	}
	answer, err = e.rotate(r.Context(), flow, presented, c)
	return answer, pc, err
}

// rotate makes the new pair for a client that is the flow's counterparty.
func (e *Endpoint) rotate(ctx context.Context, flow *flowstore.Flow, presented string, c *auth.Claims) ([]byte, error) {
	text, _ := c.All()["token"].(string)
	access, ok := e.Issuer.paired(text, presented)
	if !ok || access.DataFlowID != flow.DataFlowID || access.ParticipantContextID != flow.ParticipantContextID {
		return nil, invalidGrant("the access token does not go with the refresh token")
	}
	family, _ := flowstore.Family(access.TokenID)
	g := access.Grant
	g.Profile = flow.Profile
	refresh, ttl := newRefresh(g.ParticipantContextID, g.DataFlowID), e.Issuer.lifetime(g.ParticipantContextID)
	next := member(family, refresh)
	token, err := e.Issuer.access(g, next, ttl)
	if err != nil {
		return nil, err
	}
	mark := sha256.Sum256([]byte(c.Issuer + "\n" + c.ID))
	outcome, err := e.Flows.Rotate(ctx, &flowstore.Rotation{
		ParticipantContextID: g.ParticipantContextID, DataFlowID: g.DataFlowID, Presented: access.TokenID, Next: next,
		Assertion: base64url.EncodeToString(mark[:]), TTL: time.Until(c.Expiry) + time.Minute, // clocks may differ
	})
	switch {
	case err != nil:
		return nil, err
	case outcome == flowstore.RotationReplayed:
		return nil, invalidClient(errors.New("the assertion was used before"))
	case outcome != flowstore.RotationApplied:
		return nil, invalidGrant("the flow is not started, or the refresh token is an old one")
	}
	e.Log.Info().Str("listener", "public").Str("participant_context", g.ParticipantContextID).Str("process_id", g.DataFlowID).Msg("access token renewed")
	answer, err := json.Marshal(map[string]any{ // RFC 6749, section 5.1
		"access_token": token, "token_type": "Bearer", "expires_in": int64(ttl / time.Second), "refresh_token": refresh,
	})
	if err != nil {
		return nil, problem.Wrap(problem.Internal, err, "the answer")
	}
	return answer, nil
}

// parameters reads the refresh token from the body or, as the profile's example has it, from the query. A parameter that stands
// twice, in one or in both, is refused (RFC 6749, section 3.2).
func parameters(w http.ResponseWriter, r *http.Request) (refresh string, err error) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		return "", invalidRequest("the parameters can't be read")
	}
	if len(r.Form["grant_type"]) != 1 || len(r.Form["refresh_token"]) != 1 || r.Form.Get("refresh_token") == "" {
		return "", invalidRequest("grant_type and refresh_token must stand once each")
	}
	if r.Form.Get("grant_type") != "refresh_token" {
		return "", &fault{status: http.StatusBadRequest, code: "unsupported_grant_type"}
	}
	return r.Form.Get("refresh_token"), nil
}

// client reads the client's JWT as far as that goes without knowing the client.
func client(bearer string) (*did.Assertion, error) {
	a, err := did.ParseAssertion(bearer)
	if err != nil {
		return nil, invalidClient(err)
	}
	c := a.Claims
	if c.Issuer == "" || c.Issuer != c.Subject || c.ID == "" || len(c.ID) > maxText || c.IssuedAt.IsZero() || time.Until(c.Expiry) > maxAssertionIn {
		return nil, invalidClient(errors.New("the assertion lacks iss = sub, jti or iat, or lasts too long"))
	}
	return a, nil
}
