package signaling_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/tidegate/tidegate/dps-gateway/internal/redistest"
	"github.com/tidegate/tidegate/shared/tenant"
)

// exchanged makes a tenant's profile one of token exchange, and returns how to make a token of its control plane.
func (w *world) exchanged(pc string) func(change func(map[string]any)) string {
	w.tenants[pc].ControlPlane.Signaling.Authorization = tenant.SignalingAuthorization{
		Type: tenant.SignalingExchange, Issuer: w.idp.url, JWKSURL: w.idp.url, Audience: pc + "-tidegate", Subject: "https://cp.example",
		SubjectClaim: tenant.ClaimSub, Scopes: []string{"dps:signal"},
	}
	return func(change func(map[string]any)) string {
		return w.idp.token(w.tb, func(c map[string]any) {
			c["sub"], c["aud"], c["scope"], c["participant_context"] = "https://cp.example", pc+"-tidegate", "openid dps:signal", pc
			c["act"] = map[string]any{"sub": "system:serviceaccount:edc:controlplane"}
			if change != nil {
				change(c)
			}
		})
	}
}

func TestTokenExchange(t *testing.T) {
	rdb, _ := redistest.Mini(t)
	w := newWorld(t, rdb)
	token := w.exchanged("consumer")
	set := func(claim string, value any) func(map[string]any) { return func(c map[string]any) { c[claim] = value } }
	drop := func(claim string) func(map[string]any) { return func(c map[string]any) { delete(c, claim) } }
	for name, c := range map[string]struct {
		change func(map[string]any)
		good   bool
	}{
		"as it should be":                         {nil, true},
		"without an id":                           {drop("jti"), true},
		"without act":                             {drop("act"), true},
		"another audience":                        {set("aud", "provider-tidegate"), false},
		"the audience of EDC's default":           {set("aud", "edcv"), false},
		"no audience":                             {drop("aud"), false},
		"another principal":                       {set("sub", "https://other.example"), false},
		"no principal":                            {drop("sub"), false},
		"another scope":                           {set("scope", "management-api:write"), false},
		"a scope that begins alike":               {set("scope", "dps:signals"), false},
		"no scope":                                {drop("scope"), false},
		"another participant context":             {set("participant_context", "provider"), false},
		"a participant context that is no text":   {set("participant_context", []string{"consumer"}), false},
		"no participant context":                  {drop("participant_context"), false},
		"another issuer":                          {set("iss", "https://else.example"), false},
		"not issued at any time":                  {drop("iat"), false},
		"issued in the future":                    {set("iat", time.Now().Add(time.Hour).Unix()), false},
		"expired":                                 {set("exp", time.Now().Add(-time.Hour).Unix()), false},
		"the workload in act, not the principal":  {func(c map[string]any) { c["act"], c["sub"] = map[string]any{"sub": "https://cp.example"}, "x" }, false},
		"client_id where the document names none": {func(c map[string]any) { c["client_id"], c["sub"] = "https://cp.example", "x" }, false},
	} {
		a := w.send(http.MethodPost, "/participants/consumer/dataflows/prepare", token(c.change), flowMessage("m-"+name, "tp-"+name))
		want := http.StatusUnauthorized
		if c.good {
			want = http.StatusOK
		}
		if a.code != want {
			t.Errorf("%s: %d %s", name, a.code, a.body)
		}
	}
}

func TestTheClaimThatNamesTheControlPlaneIsTheDocumentsChoice(t *testing.T) {
	rdb, _ := redistest.Mini(t)
	w := newWorld(t, rdb)
	token := w.exchanged("consumer")
	w.tenants["consumer"].ControlPlane.Signaling.Authorization.SubjectClaim = tenant.ClaimClientID
	// An issuer that makes the participant context the subject, and has no claim for it.
	good := token(func(c map[string]any) {
		c["client_id"], c["sub"] = "https://cp.example", "consumer"
		delete(c, "participant_context")
	})
	if a := w.send(http.MethodPost, "/participants/consumer/dataflows/prepare", good, flowMessage("m1", "tp-1")); a.code != http.StatusOK {
		t.Errorf("%d %s", a.code, a.body)
	}
	if a := w.send(http.MethodPost, "/participants/consumer/dataflows/prepare", token(nil), flowMessage("m2", "tp-2")); a.code != http.StatusUnauthorized {
		t.Errorf("sub: %d %s", a.code, a.body)
	}
}

// TestAReplayedTokenIsRefused: a token serves one request, and the same request again; unless the control plane keeps its tokens and the
// document says so.
func TestAReplayedTokenIsRefused(t *testing.T) {
	for _, reusable := range []bool{false, true} {
		rdb, _ := redistest.Mini(t)
		w := newWorld(t, rdb)
		token := w.exchanged("consumer")(nil)
		w.tenants["consumer"].ControlPlane.Signaling.Authorization.Reusable = reusable
		send := func(process string) int {
			return w.send(http.MethodPost, "/participants/consumer/dataflows/prepare", token, flowMessage("m-"+process, process)).code
		}
		want := http.StatusUnauthorized
		if reusable {
			want = http.StatusOK
		}
		if first, again, other := send("a"), send("a"), send("b"); first != 200 || again != 200 || other != want {
			t.Errorf("reusable %v: %d, the same again %d, another %d", reusable, first, again, other)
		}
		if !reusable {
			if a := w.send(http.MethodGet, "/participants/consumer/dataflows/a/status", token, ""); a.code != http.StatusUnauthorized {
				t.Errorf("status: %d", a.code)
			}
		}
	}
}

// TestADocumentWithoutAProfileIsRefused: only the word "network" lets a caller in without a token.
func TestADocumentWithoutAProfileIsRefused(t *testing.T) {
	rdb, _ := redistest.Mini(t)
	w := newWorld(t, rdb)
	w.tenants["consumer"].ControlPlane.Signaling.Authorization = tenant.SignalingAuthorization{}
	if a := w.signal("consumer", "prepare", flowMessage("m1", "tp")); a.code != http.StatusUnauthorized {
		t.Errorf("%d %s", a.code, a.body)
	}
}

// TestAControlPlaneRegistersForTokenExchange: only where the document exchanges too, and at no other endpoint than the document's; its tokens
// are held to the document's audience, scopes and participant context.
func TestAControlPlaneRegistersForTokenExchange(t *testing.T) {
	rdb, _ := redistest.Mini(t)
	w := newWorld(t, rdb)
	w.exchanged("consumer")
	w.allowRegistration("consumer")
	w.tenants["consumer"].ControlPlane.Signaling.Authorization.TokenEndpoint = "https://sts.example/token"
	sts := newIDP(t)
	put := func(endpoint string) *answer {
		return w.send(http.MethodPut, planesOfConsumer, operatorSecret, `{"controlplaneId":"x","endpoint":"https://x.example","authorization":{`+
			`"type":"oauth2_token_exchange","tokenExchangeEndpoint":"`+endpoint+`","issuer":"`+sts.url+`","jwksUri":"`+sts.url+`"}}`)
	}
	if a := put("https://evil.example/token"); a.code != http.StatusBadRequest || a.problem(t).Field != "authorization.tokenExchangeEndpoint" {
		t.Errorf("another endpoint: %d %s", a.code, a.body)
	}
	if a := put("https://sts.example/token"); a.code != http.StatusOK {
		t.Fatalf("%d %s", a.code, a.body)
	}
	for name, c := range map[string]struct {
		claim string
		value any
		code  int
	}{
		"good":                        {"sub", "x", http.StatusOK},
		"another audience":            {"aud", "edcv", http.StatusUnauthorized},
		"no scope":                    {"scope", "else", http.StatusUnauthorized},
		"another participant context": {"participant_context", "provider", http.StatusUnauthorized},
		"another issuer":              {"iss", "https://else.example", http.StatusUnauthorized},
	} {
		token := sts.token(t, func(claims map[string]any) {
			claims["sub"], claims["aud"], claims["scope"], claims["participant_context"] = "x", "consumer-tidegate", "dps:signal", "consumer"
			claims[c.claim] = c.value
		})
		if a := w.send(http.MethodPost, "/participants/consumer/dataflows/prepare", token, flowMessage("m-"+name, "tp-"+name)); a.code != c.code {
			t.Errorf("%s: %d %s", name, a.code, a.body)
		}
	}
}
