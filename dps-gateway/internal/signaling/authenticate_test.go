package signaling_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/dps-gateway/internal/redistest"
	"github.com/tidegate/tidegate/dps-gateway/internal/signaling"
	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/tenant"
)

// flowRoutes are the routes of tenants, with a body that is good for each.
func flowRoutes(pc string) map[string]string {
	bodies := map[string]string{
		"prepare": flowMessage("x", "tp-x"), "start": flowMessage("x", "tp-x"), "started": startedMessage("x", "https://x.example/", "t"),
		"completed": `{}`, "status": "",
	}
	routes := map[string]string{}
	for _, r := range signaling.Routes() {
		if !strings.HasPrefix(r.Path, "/participants/") {
			continue
		}
		body, ok := bodies[r.Path[strings.LastIndexByte(r.Path, '/')+1:]]
		if !ok {
			body = `{"messageId":"x"}`
		}
		path := strings.NewReplacer("{participantContextId}", pc, "{id}", "tp-1").Replace(r.Path)
		routes[r.Method+" "+path] = body
	}
	return routes
}

// TestEveryBadCallerGetsTheSame tries every route with every way of not being its tenant's control plane: one answer, and no
// trace in the flows.
func TestEveryBadCallerGetsTheSame(t *testing.T) {
	rdb, _ := redistest.Mini(t)
	w := newWorld(t, rdb)
	w.approve("provider", "agr-1", "asset-1", "them-id")
	w.tenants["other"] = &tenant.Tenant{
		ParticipantContextID: "other", ControlPlane: tenant.ControlPlane{Signaling: tenant.Signaling{Authorization: tenant.SignalingAuthorization{
			Type: tenant.SignalingOAuth2, Issuer: w.idp.url, JWKSURL: w.idp.url, Audience: "tidegate", Subject: "edc-of-other",
		}}},
	}
	if a := w.signal("provider", "start", flowMessage("m1", "tp-1")); a.code != http.StatusOK {
		t.Fatalf("%d %s", a.code, a.body)
	}
	stranger := newIDP(t)
	with := func(change func(map[string]any)) func(string) (string, string) {
		return func(pc string) (string, string) { return pc, w.idp.token(t, change) }
	}
	for name, who := range map[string]func(pc string) (path, token string){
		"no token": func(pc string) (string, string) { return pc, "" },
		"no JWT":   func(pc string) (string, string) { return pc, "abc" },
		"a token of another issuer's keys": func(pc string) (string, string) {
			return pc, stranger.token(t, func(c map[string]any) { c["iss"] = w.idp.url })
		},
		"another issuer":                      with(func(c map[string]any) { c["iss"] = "https://else.example" }),
		"another audience":                    with(func(c map[string]any) { c["aud"] = "else" }),
		"no audience":                         with(func(c map[string]any) { delete(c, "aud") }),
		"the control plane of another tenant": with(func(c map[string]any) { c["sub"] = "edc-of-other" }),
		"no subject":                          with(func(c map[string]any) { delete(c, "sub") }),
		"an expired token":                    with(func(c map[string]any) { c["exp"] = time.Now().Add(-time.Hour).Unix() }),
		"a token that never expires":          with(func(c map[string]any) { delete(c, "exp") }),
		"a token that lives too long":         with(func(c map[string]any) { c["exp"] = time.Now().Add(100 * time.Hour).Unix() }),
		"an unknown tenant":                   func(string) (string, string) { return "nobody", w.idp.token(t, nil) },
		"a tenant of another control plane":   func(string) (string, string) { return "other", w.idp.token(t, nil) },
	} {
		path, _ := who("provider")
		for route, body := range flowRoutes(path) {
			_, token := who("provider")
			method, target, _ := strings.Cut(route, " ")
			a := w.send(method, target, token, body)
			doc := a.problem(t)
			doc.ID = ""
			if a.code != http.StatusUnauthorized || a.header.Get("WWW-Authenticate") != "Bearer" || doc != (problem.Document{
				Title: "Unauthorized", Status: 401, Detail: "no valid token for this participant context",
			}) {
				t.Errorf("%s, %s: %d %s", name, route, a.code, a.body)
			}
		}
	}
	f, err := w.store.Get(t.Context(), "provider", "tp-1")
	if err != nil || f.Revision != 1 {
		t.Errorf("the flow was touched: %+v %v", f, err)
	}
}

// TestTheLogSaysWhichClaimIsAtFault, and the caller is told nothing of it.
func TestTheLogSaysWhichClaimIsAtFault(t *testing.T) {
	rdb, _ := redistest.Mini(t)
	w := newWorld(t, rdb)
	var log lockedBuffer
	w.deps.Log = zerolog.New(&log)
	w.serve()
	for claim, change := range map[string]func(map[string]any){
		"claim iss": func(c map[string]any) { c["iss"] = "https://else.example" },
		"claim aud": func(c map[string]any) { c["aud"] = "else" },
		"claim sub": func(c map[string]any) { c["sub"] = "else" },
		"claim exp": func(c map[string]any) { c["exp"] = time.Now().Add(-time.Hour).Unix() },
		"claim iat": func(c map[string]any) { delete(c, "iat") },
		"claim jti": func(c map[string]any) { c["jti"] = "used" },
	} {
		if claim == "claim jti" {
			w.send(http.MethodGet, "/participants/provider/dataflows/other/status", w.idp.token(t, change), "")
		}
		log.take()
		a := w.send(http.MethodGet, "/participants/provider/dataflows/tp-1/status", w.idp.token(t, change), "")
		if line := log.take(); !strings.Contains(line, claim) || !strings.Contains(line, a.problem(t).ID) {
			t.Errorf("%s: the log says %s", claim, line)
		}
		if a.code != http.StatusUnauthorized || strings.Contains(string(a.body), "claim") {
			t.Errorf("%s: %d %s", claim, a.code, a.body)
		}
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

// take returns what was written since it was called last.
func (b *lockedBuffer) take() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	defer b.b.Reset()
	return b.b.String()
}

// TestTheAudienceIsTheDataPlaneUnlessTheDocumentSaysOtherwise: without a word a token must name the data plane; another name, or that
// any will do, must be said.
func TestTheAudienceIsTheDataPlaneUnlessTheDocumentSaysOtherwise(t *testing.T) {
	rdb, _ := redistest.Mini(t)
	w := newWorld(t, rdb)
	const plane = "provider-tidegate"
	said := *w.tenants["provider"]
	for name, c := range map[string]struct {
		document func(*tenant.SignalingAuthorization)
		taken    map[any]bool
	}{
		"nothing":    {func(*tenant.SignalingAuthorization) {}, map[any]bool{plane: true, "account": false, nil: false}},
		"an id":      {func(a *tenant.SignalingAuthorization) { a.Audience = "account" }, map[any]bool{plane: false, "account": true, nil: false}},
		"any of all": {func(a *tenant.SignalingAuthorization) { a.AnyAudience = true }, map[any]bool{plane: true, "account": true, nil: true}},
	} {
		tn := said
		tn.ControlPlane.Signaling.DataplaneID = plane
		tn.ControlPlane.Signaling.Authorization.Audience = ""
		c.document(&tn.ControlPlane.Signaling.Authorization)
		w.tenants["provider"] = &tn
		w.serve()
		for aud, taken := range c.taken {
			token := w.idp.token(t, func(m map[string]any) {
				if m["aud"] = aud; aud == nil {
					delete(m, "aud")
				}
			})
			want := http.StatusUnauthorized
			if taken {
				want = http.StatusNotFound // there is no such flow
			}
			if a := w.send(http.MethodGet, "/participants/provider/dataflows/tp-1/status", token, ""); a.code != want {
				t.Errorf("the document says %s, the token %v: %d, want %d", name, aud, a.code, want)
			}
		}
	}
}

// TestATenantReachesNoFlowOfAnother sends the good token of one tenant's control plane to its own routes, with the ids of the
// other's flows.
func TestATenantReachesNoFlowOfAnother(t *testing.T) {
	rdb, _ := redistest.Mini(t)
	w := newWorld(t, rdb)
	w.approve("provider", "agr-1", "asset-1", "them-id")
	w.signal("provider", "start", flowMessage("m1", "tp-1"))
	for route, body := range flowRoutes("consumer") {
		if !strings.Contains(route, "tp-1") {
			continue
		}
		method, target, _ := strings.Cut(route, " ")
		if a := w.send(method, target, w.idp.token(t, nil), body); a.code != http.StatusNotFound {
			t.Errorf("%s: %d %s", route, a.code, a.body)
		}
	}
	// Agreement and dataset of the provider are of no use to the consumer either.
	if a := w.signal("consumer", "start", flowMessage("m2", "tp-2")); a.code != http.StatusBadRequest {
		t.Errorf("start with another's dataset: %d %s", a.code, a.body)
	}
}

func TestTheNetworkProtectsIfTheOperatorSaysSo(t *testing.T) {
	rdb, _ := redistest.Mini(t)
	w := newWorld(t, rdb)
	w.tenants["consumer"].ControlPlane.Signaling.Authorization = tenant.SignalingAuthorization{Type: tenant.SignalingNetwork}
	if a := w.send(http.MethodPost, "/participants/consumer/dataflows/prepare", "", flowMessage("m1", "tp")); a.code != http.StatusOK {
		t.Errorf("%d %s", a.code, a.body)
	}
}

func TestKeysThatCannotBeHadAreUnavailable(t *testing.T) {
	rdb, _ := redistest.Mini(t)
	w := newWorld(t, rdb)
	w.tenants["consumer"].ControlPlane.Signaling.Authorization.JWKSURL = "http://127.0.0.1:1/"
	if a := w.signal("consumer", "prepare", flowMessage("m1", "tp")); a.code != http.StatusServiceUnavailable {
		t.Errorf("%d %s", a.code, a.body)
	}
}

func TestDialects(t *testing.T) {
	rdb, _ := redistest.Mini(t)
	w := newWorld(t, rdb)
	old := strings.NewReplacer(`"profile"`, `"transferType"`, `"callbackAddress":null`, `"callbackAddress":"http://edc/signaling"`,
		`"participantId":"us-id","counterPartyId":"them-id"`, `"participantId":"them-id","counterPartyId":"us-id"`)
	w.approve("provider", "agr-1", "asset-1", "them-id")
	w.tenants["provider"].ControlPlane.Dialect = tenant.EDC017
	if a := w.signal("provider", "start", old.Replace(flowMessage("m1", "tp"))); a.code != http.StatusOK {
		t.Fatalf("%d %s", a.code, a.body)
	}
	f, err := w.store.Get(t.Context(), "provider", "tp")
	if err != nil || f.CounterPartyID != "them-id" || f.ParticipantID != "us-id" {
		t.Errorf("EDC 0.17 swaps the participants: %+v %v", f, err)
	}
	if a := w.signal("provider", "tp/terminate", `{}`); a.code != http.StatusOK {
		t.Errorf("terminate without a message id: %d %s", a.code, a.body)
	}
	if a := w.signal("consumer", "prepare", flowMessage("m1", "tpc")); a.code != http.StatusOK {
		t.Fatalf("%d %s", a.code, a.body)
	}
	w.tenants["consumer"].ControlPlane.Dialect = tenant.DPS10
	if a := w.signal("consumer", "tpc/terminate", `{}`); a.code != http.StatusBadRequest || a.problem(t).Field != "messageId" {
		t.Errorf("DPS 1.0 demands a message id: %d %s", a.code, a.body)
	}
	if a := w.signal("consumer", "tpc/started", startedMessage("m2", "https://p.example", "t")); a.code != http.StatusOK {
		t.Errorf("%d %s", a.code, a.body)
	}
	if a := w.signal("consumer", "tpc/completed", ``); a.code != http.StatusOK {
		t.Errorf("completed has an empty body in the text: %d %s", a.code, a.body)
	}
}
