package gateway_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/tidegate/tidegate/dps-gateway/internal/data"
	"github.com/tidegate/tidegate/dps-gateway/internal/signaling"
	"github.com/tidegate/tidegate/shared/auth"
	"github.com/tidegate/tidegate/shared/dps"
)

// The matrix of callers: each route of a listener's own table, so each new one too, times each way not to be who may call. The internal
// listener's is in internal_test.go.

// issuer is an identity provider: keys behind a JWKS.
type issuer struct {
	*auth.Signer
	url string
}

func newIssuer(tb testing.TB) *issuer {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	s, err := auth.NewSigner(key)
	if err != nil {
		tb.Fatal(err)
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(s.JWKS()) }))
	tb.Cleanup(srv.Close)
	return &issuer{s, srv.URL}
}

// token is a good token of the control plane of a tenant, changed.
func (i *issuer) token(tb testing.TB, pc string, change func(map[string]any)) string {
	tb.Helper()
	claims := map[string]any{
		"iss": i.url, "sub": "controlplane-of-" + pc, "aud": pc + "-tidegate", "iat": time.Now().Unix(), "exp": time.Now().Add(5 * time.Minute).Unix(),
		"jti": uuid.NewString(), "scope": "dps:signal", "participant_context": pc,
	}
	if change != nil {
		change(claims)
	}
	t, err := i.Sign(claims)
	if err != nil {
		tb.Fatal(err)
	}
	return t
}

// authorized gives a tenant of the world an authorization profile; both profiles are in the matrix.
func (w *world) authorized(pc, profile string, i *issuer, more string) {
	w.tb.Helper()
	text := fmt.Sprintf(tenantDocument, pc, w.outside.URL, w.path("secrets/client"), w.path("buckets/provider"), more)
	authorization := fmt.Sprintf("type: %s\n      tokenEndpoint: %s/token\n      issuer: %s\n      jwksUrl: %s\n      subject: controlplane-of-%s\n",
		profile, w.outside.URL, i.url, i.url, pc)
	if profile == "oauth2_token_exchange" {
		authorization += fmt.Sprintf("      scopes: [dps:signal]\n      subjectTokenFile: %s\n      callback: {audience: cp}\n", w.path("secrets/client"))
	} else {
		authorization += fmt.Sprintf("      clientId: cp\n      clientSecretFile: %s\n", w.path("secrets/client"))
	}
	text = strings.Replace(text, "type: network\n", authorization, 1)
	text = strings.Replace(text, "  signaling:\n", "  signaling:\n    registration: allowed\n", 1)
	w.write("tenants/"+pc+".yaml", text)
}

// signalingBody is a body that is good for a route.
func signalingBody(route signaling.Route, pc string, keys *issuer) string {
	flow := fmt.Sprintf(`{"messageId":"m-%s","participantId":"us","counterPartyId":"them","dataspaceContext":"http-dsp-profile-2025-1",`+
		`"processId":"new-%s","agreementId":"a","datasetId":"d","profile":%q,"claims":{}}`, uuid.NewString(), uuid.NewString(), dps.ProfileHTTPPull)
	switch {
	case strings.HasSuffix(route.Path, "/prepare"), strings.HasSuffix(route.Path, "/start"):
		return flow
	case strings.HasSuffix(route.Path, "/started"):
		return `{"messageId":"m","dataAddress":{"endpointType":"` + dps.ProfileHTTPPull + `","endpoint":"https://p.example/"}}`
	case strings.HasSuffix(route.Path, "/controlplanes"):
		return fmt.Sprintf(`{"controlplaneId":"controlplane-of-%s","endpoint":"https://cp.example","authorization":{"type":"oauth2_client_credentials",`+
			`"tokenEndpoint":"https://cp.example/token","clientId":"us","clientSecret":"s","jwks":%s}}`, pc, keys.JWKS())
	case route.Method == http.MethodGet, route.Method == http.MethodDelete:
		return ""
	}
	return `{"messageId":"` + uuid.NewString() + `"}`
}

func TestTheMatrixOfSignaling(t *testing.T) {
	for _, profile := range []string{"oauth2_client_credentials", "oauth2_token_exchange"} {
		t.Run(profile, func(t *testing.T) {
			w := newWorld(t)
			idp, stranger, own := newIssuer(t), newIssuer(t), newIssuer(t)
			for pc, more := range map[string]string{"provider": "", "other": "", "asleep": "suspended: true\n"} {
				w.authorized(pc, profile, idp, more)
			}
			r := w.start(nil)
			send := func(route signaling.Route, pc, token string, body string) answer {
				t.Helper()
				path := strings.NewReplacer("{participantContextId}", pc, "{id}", "some-id", "{controlplaneId}", "controlplane-of-"+pc).Replace(route.Path)
				req, err := http.NewRequestWithContext(t.Context(), route.Method, "http://"+r.signaling+path, strings.NewReader(body))
				if err != nil {
					t.Fatal(err)
				}
				if token != "" {
					req.Header.Set("Authorization", "Bearer "+token)
				}
				return r.do(req)
			}
			set := func(claim string, value any) func(map[string]any) {
				return func(c map[string]any) { c[claim] = value }
			}
			type who struct {
				pc    string
				token func() string
			}
			callers := map[string]who{
				"no token":                 {"provider", func() string { return "" }},
				"garbage":                  {"provider", func() string { return "garbage" }},
				"no claims":                {"provider", func() string { return "e30.e30.e30" }},
				"the internal secret":      {"provider", w.secret.Value},
				"expired":                  {"provider", func() string { return idp.token(t, "provider", set("exp", time.Now().Add(-time.Hour).Unix())) }},
				"issued in the future":     {"provider", func() string { return idp.token(t, "provider", set("iat", time.Now().Add(time.Hour).Unix())) }},
				"never issued":             {"provider", func() string { return idp.token(t, "provider", func(c map[string]any) { delete(c, "iat") }) }},
				"another audience":         {"provider", func() string { return idp.token(t, "provider", set("aud", "other-tidegate")) }},
				"no audience":              {"provider", func() string { return idp.token(t, "provider", func(c map[string]any) { delete(c, "aud") }) }},
				"another issuer":           {"provider", func() string { return idp.token(t, "provider", set("iss", stranger.url)) }},
				"a stranger's keys":        {"provider", func() string { return stranger.token(t, "provider", set("iss", idp.url)) }},
				"another control plane":    {"provider", func() string { return idp.token(t, "other", set("aud", "provider-tidegate")) }},
				"a tenant of another":      {"other", func() string { return idp.token(t, "provider", nil) }},
				"a tenant that is not":     {"nobody", func() string { return idp.token(t, "nobody", nil) }},
				"a tenant in no force":     {"asleep", func() string { return idp.token(t, "asleep", nil) }},
				"a tenant of another case": {"PROVIDER", func() string { return idp.token(t, "provider", nil) }},
				"a long name":              {strings.Repeat("x", 300), func() string { return idp.token(t, "provider", nil) }},
				"a token that was used": {"provider", func() string {
					token := idp.token(t, "provider", nil)
					send(signaling.Route{Method: http.MethodGet, Path: "/participants/{participantContextId}/dataflows/used-elsewhere/status"}, "provider", token, "")
					return token
				}},
			}
			want, routes := "", 0
			for _, route := range signaling.Routes() {
				if !strings.Contains(route.Path, "{participantContextId}") {
					continue // the control plane's events: their key is the secret, see below
				}
				routes++
				for name, c := range callers {
					a := send(route, c.pc, c.token(), signalingBody(route, c.pc, own))
					if a.code != http.StatusUnauthorized {
						t.Errorf("%s, %s %s: %d %s", name, route.Method, route.Path, a.code, a.body)
						continue
					}
					got := a.uniform(t)
					if want == "" {
						want = got
					}
					if got != want {
						t.Errorf("%s, %s %s: %s", name, route.Method, route.Path, got)
					}
				}
				// The same request by who may: whatever it is answered, it is let in.
				if a := send(route, "provider", idp.token(t, "provider", nil), signalingBody(route, "provider", own)); a.code == http.StatusUnauthorized {
					t.Errorf("%s %s: the tenant's own control plane is refused: %s", route.Method, route.Path, a.body)
				}
			}
			if routes < 10 {
				t.Errorf("%d routes: the table is not what it was", routes)
			}
		})
	}
}

func TestTheMatrixOfControlPlaneKeys(t *testing.T) {
	w := newWorld(t)
	r := w.start(nil)
	want := ""
	for _, route := range signaling.Routes() {
		if !strings.Contains(route.Path, "{key}") {
			continue
		}
		for _, key := range []string{"wrong-key-of-some-length", "x", strings.Repeat("k", 300), "%00", w.secret.Value()} {
			req, err := http.NewRequestWithContext(t.Context(), route.Method, "http://"+r.signaling+strings.ReplaceAll(route.Path, "{key}", key), strings.NewReader("{}"))
			if err != nil {
				t.Fatal(err)
			}
			got := r.do(req).uniform(t)
			if want == "" {
				want = got
			}
			if got != want || !strings.HasPrefix(got, "404 ") {
				t.Errorf("%s with the key %.20q: %s", route.Path, key, got)
			}
		}
	}
}

// TestTheMatrixOfTheWorld: the public listener. Its keys are open; a request for a token has a refusal of its own form; every other route
// answers the same to whoever may not.
func TestTheMatrixOfTheWorld(t *testing.T) {
	w := newWorld(t)
	w.tenant("asleep", "")
	r := w.start(nil)
	d := r.publish("provider", "a", []byte("a"))
	g := r.startFlow("provider", d)
	foreign := r.startFlow("other", r.publish("other", "a", []byte("b")))
	if err := r.api.Complete(t.Context(), "other", foreign.flow); err != nil {
		t.Fatal(err)
	}
	stranger := newIssuer(t)
	forged := stranger.token(t, "provider", func(c map[string]any) { c["iss"], c["sub"], c["aud"] = publicURL, g.flow, publicURL })
	for _, route := range data.Routes() {
		var want string
		for name, c := range map[string]struct{ flow, token string }{
			"no token":                      {g.flow, ""},
			"garbage":                       {g.flow, "garbage"},
			"forged":                        {g.flow, forged},
			"the internal secret":           {g.flow, w.secret.Value()},
			"a token of another tenant":     {g.flow, foreign.token},
			"a flow of another tenant":      {foreign.flow, g.token},
			"a flow that is not":            {"no-such-flow", g.token},
			"a flow of a name that is long": {strings.Repeat("f", 600), g.token},
		} {
			path := strings.NewReplacer("{dataFlowId}", c.flow, "{path}", "below").Replace(route.Path)
			req, err := http.NewRequestWithContext(t.Context(), route.Method, "http://"+r.public+path, strings.NewReader(""))
			if err != nil {
				t.Fatal(err)
			}
			if c.token != "" {
				req.Header.Set("Authorization", "Bearer "+c.token)
			}
			a := r.do(req)
			switch {
			case strings.HasPrefix(route.Path, "/.well-known/"):
				if a.code != http.StatusOK {
					t.Errorf("%s, %s %s: %d", name, route.Method, route.Path, a.code)
				}
				continue
			case route.Method == http.MethodHead:
				a.body = []byte("{}")
			}
			got := a.uniform(t)
			if want == "" {
				want = got
			}
			if got != want || (!strings.HasPrefix(got, "401 ") && route.Path != "/token") || a.code < 400 {
				t.Errorf("%s, %s %s: %s", name, route.Method, route.Path, got)
			}
		}
	}
}
