package sandbox_test

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/infra/sandbox/config"
)

// tenantRoutes are the routes below a participant context, each with a body that passes the schema.
var tenantRoutes = []struct {
	method, path string
	body         map[string]any
	byID         bool // names an object, which is looked for before the caller is judged
}{
	{"POST", "/assets", doc("Asset", map[string]any{"properties": map[string]any{}}), false},
	{"POST", "/assets/request", doc("QuerySpec", nil), false},
	{"PUT", "/assets", doc("Asset", map[string]any{"@id": "mine", "properties": map[string]any{}}), true},
	{"GET", "/assets/mine", nil, true},
	{"DELETE", "/assets/mine", nil, true},
	{"POST", "/policydefinitions", doc("PolicyDefinition", map[string]any{"policy": map[string]any{"@type": "Set"}}), false},
	{"POST", "/policydefinitions/request", doc("QuerySpec", nil), false},
	{"GET", "/policydefinitions/contract-mine", nil, true},
	{"PUT", "/policydefinitions/contract-mine", doc("PolicyDefinition", map[string]any{"policy": map[string]any{"@type": "Set"}}), true},
	{"DELETE", "/policydefinitions/contract-mine", nil, true},
	{"POST", "/contractdefinitions", doc("ContractDefinition", map[string]any{"accessPolicyId": "a", "contractPolicyId": "c"}), false},
	{"PUT", "/contractdefinitions", doc("ContractDefinition", map[string]any{"@id": "cd-mine", "accessPolicyId": "a", "contractPolicyId": "c"}), true},
	{"POST", "/contractdefinitions/request", doc("QuerySpec", nil), false},
	{"GET", "/contractdefinitions/cd-mine", nil, true},
	{"DELETE", "/contractdefinitions/cd-mine", nil, true},
	{"POST", "/catalog/request", doc("CatalogRequest", map[string]any{"profile": profile, "counterPartyAddress": "http://x", "counterPartyId": "x"}), false},
	{"POST", "/catalog/dataset/request", doc("DatasetRequest", map[string]any{"@id": "x", "profile": profile, "counterPartyAddress": "http://x", "counterPartyId": "x"}), false},
	{"POST", "/contractnegotiations", doc("ContractRequest", map[string]any{"profile": profile, "counterPartyAddress": "http://x", "policy": map[string]any{"@type": "Offer", "@id": "o", "assigner": "a", "target": "t"}}), false},
	{"POST", "/contractnegotiations/request", doc("QuerySpec", nil), false},
	{"POST", "/contractagreements/request", doc("QuerySpec", nil), false},
	{"POST", "/transferprocesses", doc("TransferRequest", map[string]any{"profile": profile, "counterPartyAddress": "http://x", "contractId": "c", "transferType": "t"}), false},
	{"POST", "/transferprocesses/request", doc("QuerySpec", nil), false},
	{"PUT", "/dataplanes", map[string]any{"dataplaneId": "d", "endpoint": "http://x", "transferTypes": []string{"t"}}, false},
	{"DELETE", "/dataplanes/dp-provider", nil, true},
	{"GET", "/profiles", nil, false},
	{"POST", "/discover/request", doc("DiscoveryRequest", nil), false},
}

func TestEveryRouteIsClosedToOthers(t *testing.T) {
	w := newWorld(t, nil)
	w.publish("mine", nil)
	w.register("provider")
	for _, r := range tenantRoutes {
		name := r.method + " " + r.path
		var body any
		if r.body != nil {
			body = r.body
		}
		if s, text := w.send("", r.method, "/participants/provider"+r.path, body); s != 401 || text != `{"error":"Missing Authorization header"}` {
			t.Errorf("%s without a token: %d %s", name, s, text)
		}
		if s, text := w.send(w.as("nobody"), r.method, "/participants/provider"+r.path, body); s != 401 || !strings.HasPrefix(text, "Not authorized: No participant") {
			t.Errorf("%s by nobody: %d %s", name, s, text)
		}
		if s, text := w.send(w.as("cp-provider"), r.method, "/participants/provider"+r.path, body); s != 401 {
			t.Errorf("%s with a plane's token: %d %s", name, s, text)
		}
		if s, text := w.send(w.as("consumer-app"), r.method, "/participants/provider"+r.path, body); s != 403 || !strings.Contains(text, `"message":"User 'consumer' is not authorized to access this resource.","type":"NotAuthorized"`) {
			t.Errorf("%s by another: %d %s", name, s, text)
		}
	}
	if n := len(w.query("provider", "assets", "", nil)); n != 1 {
		t.Errorf("%d assets after all that, want 1", n)
	}
}

func TestAdminRoutesNeedAdmin(t *testing.T) {
	w := newWorld(t, nil)
	for _, r := range []string{
		"GET /participants", "POST /participants", "GET /participants/provider", "PUT /participants/provider", "DELETE /participants/provider",
		"GET /participants/provider/config", "PUT /participants/provider/config", "PATCH /participants/provider/config", "PUT /participants/provider/profiles",
		"POST /celexpressions", "POST /celexpressions/request", "GET /celexpressions/x", "PUT /celexpressions/x", "DELETE /celexpressions/x",
	} {
		method, path, _ := strings.Cut(r, " ")
		if s, text := w.send(w.as("provider-app"), method, path, map[string]any{}); s != 403 || text != "Required scope 'management-api:admin' missing" {
			t.Errorf("%s: %d %s", r, s, text)
		}
	}
}

func TestTokensExpire(t *testing.T) {
	w := newWorld(t, func(c *config.Config) { c.Participants[0].Clients[0].TokenTTL = time.Second })
	token := w.as("provider-app")
	if s, text := w.send(token, "GET", "/participants/provider/profiles", nil); s != 200 {
		t.Fatalf("a fresh token: %d %s", s, text)
	}
	w.eventually(func() bool {
		s, text := w.send(token, "GET", "/participants/provider/profiles", nil)
		return s == 401 && strings.Contains(text, `{"error":"`)
	}, func() string { return "the token never expires" })
}

func TestTokensOutliveARestart(t *testing.T) {
	w := newWorld(t, nil)
	token := w.as("provider-app")
	w.restart()
	if s, text := w.send(token, "GET", "/participants/provider/profiles", nil); s != 200 {
		t.Errorf("%d %s", s, text)
	}
}

func (w *world) tokenRequest(form url.Values) (int, map[string]any) {
	w.t.Helper()
	res, err := http.PostForm(w.url+"/idp/oauth/token", form)
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Body.Close()
	var m map[string]any
	b, _ := io.ReadAll(res.Body)
	if err := json.Unmarshal(b, &m); err != nil {
		w.t.Fatalf("%v: %s", err, b)
	}
	return res.StatusCode, m
}

func TestTokenExchangeAsJwtletDoesIt(t *testing.T) {
	w := newWorld(t, nil)
	exchange := func(change url.Values) (int, map[string]any) {
		form := url.Values{
			"grant_type": {"urn:ietf:params:oauth:grant-type:token-exchange"}, "subject_token": {w.as("workload")},
			"resource": {"provider"}, "audience": {"edcv"}, "scope": {"read"},
		}
		maps.Copy(form, change)
		return w.tokenRequest(form)
	}
	s, m := exchange(nil)
	if s != 200 || m["issued_token_type"] != "urn:ietf:params:oauth:token-type:jwt" || m["token_type"] != "Bearer" || m["scope"] != "read" {
		t.Fatalf("%d %v", s, m)
	}
	token := m["access_token"].(string)
	if s, text := w.send(token, "POST", "/participants/provider/assets/request", doc("QuerySpec", nil)); s != 200 {
		t.Errorf("read with an exchanged token: %d %s", s, text)
	}
	if s, _ := w.send(token, "POST", "/participants/provider/assets", doc("Asset", map[string]any{"properties": map[string]any{}})); s != 403 {
		t.Errorf("write with tier read: %d", s)
	}
	for name, tc := range map[string]struct {
		change url.Values
		status int
		code   string
	}{
		"another context":     {url.Values{"resource": {"consumer"}}, 403, "unauthorized_client"},
		"another audience":    {url.Values{"audience": {"else"}}, 403, "unauthorized_client"},
		"a tier not granted":  {url.Values{"scope": {"read write"}}, 403, "unauthorized_client"},
		"a worthless subject": {url.Values{"subject_token": {"garbage"}}, 400, "invalid_grant"},
		"another grant type":  {url.Values{"grant_type": {"password"}}, 400, "unsupported_grant_type"},
	} {
		if s, m := exchange(tc.change); s != tc.status || m["error"] != tc.code {
			t.Errorf("%s: %d %v, want %d %s", name, s, m, tc.status, tc.code)
		}
	}
}

func TestClientCredentialsAreRefusedWhereTheyShould(t *testing.T) {
	w := newWorld(t, nil)
	for name, form := range map[string]url.Values{
		"a wrong secret":      {"client_id": {"provider-app"}, "client_secret": {"wrong"}},
		"an unknown client":   {"client_id": {"nobody-knows"}, "client_secret": {"s"}},
		"no secret":           {"client_id": {"provider-app"}},
		"the public client":   {"client_id": {"urn:tidegate:sandbox:workload"}},
		"a scope not granted": {"client_id": {"provider-app"}, "client_secret": {"s"}, "scope": {"management-api:admin"}},
	} {
		form.Set("grant_type", "client_credentials")
		if s, m := w.tokenRequest(form); s/100 != 4 || m["access_token"] != nil {
			t.Errorf("%s: %d %v", name, s, m)
		}
	}
}

func TestTheFirstPageSaysThatThisIsNoConnector(t *testing.T) {
	w := newWorld(t, nil)
	for _, accept := range []string{"text/html", "text/plain"} {
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, w.url+"/", nil)
		req.Header.Set("Accept", accept)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if !strings.HasPrefix(res.Header.Get("Content-Type"), accept) || !strings.Contains(string(b), "NO connector and must not be used as one") {
			t.Errorf("%s: %s\n%s", accept, res.Header.Get("Content-Type"), b)
		}
	}
	res, err := http.Post(w.address("provider")+"/catalog/request", "application/json", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusNotImplemented {
		t.Errorf("DSP from outside: %d", res.StatusCode)
	}
}
