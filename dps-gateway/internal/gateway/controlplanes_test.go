package gateway_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tidegate/tidegate/dps-gateway/internal/controlplane"
	"github.com/tidegate/tidegate/dps-gateway/internal/gateway"
	"github.com/tidegate/tidegate/dps-gateway/internal/keys"
	"github.com/tidegate/tidegate/shared/auth"
	"github.com/tidegate/tidegate/shared/dps"
	"github.com/tidegate/tidegate/shared/gatewayapi"
)

const registrationSecret = "a-secret-of-those-who-register"

// allowRegistration lets control planes register themselves with a tenant.
func (w *world) allowRegistration(pc string) {
	w.tb.Helper()
	w.write("secrets/registration", registrationSecret)
	file := "tenants/" + pc + ".yaml"
	w.write(file, strings.Replace(w.read(file), "  signaling:\n", "  signaling:\n    registration: allowed\n    registrationTokenFile: "+w.path("secrets/registration")+"\n", 1))
}

func registrationOf(id string, jwks json.RawMessage) []byte {
	return fmt.Appendf(nil, `{"controlplaneId":%q,"endpoint":"https://cp.example/signaling","authorization":{"type":"oauth2_client_credentials",`+
		`"tokenEndpoint":"https://cp.example/token","clientId":"us","clientSecret":"s3cret","jwks":%s}}`, id, jwks)
}

// TestControlPlanesRegisterAtTheGateway is who may register whom, at the gateway as it runs.
func TestControlPlanesRegisterAtTheGateway(t *testing.T) {
	w := newWorld(t)
	w.allowRegistration("provider")
	r := w.start(nil)
	signer, err := auth.NewSigner(newKey(t))
	if err != nil {
		t.Fatal(err)
	}
	ask := func(method, rest, token string, body []byte) int {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, "http://"+r.signaling+"/participants/provider/controlplanes"+rest, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		req.Header.Set("Content-Type", "application/json")
		return r.do(req).code
	}
	own := func() string {
		now := time.Now()
		token, err := signer.Sign(map[string]any{
			"iss": "x", "sub": "x", "aud": "provider-tidegate", "iat": now.Unix(), "exp": now.Add(time.Minute).Unix(), "jti": fmt.Sprint(now.UnixNano()),
		})
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	if code := ask(http.MethodPut, "", registrationSecret, registrationOf("x", signer.JWKS())); code != http.StatusOK {
		t.Fatalf("the operator registers it: %d", code)
	}
	if code := ask(http.MethodPut, "", own(), registrationOf("x", signer.JWKS())); code != http.StatusOK {
		t.Errorf("it replaces its registration: %d", code)
	}
	if code := ask(http.MethodPut, "", own(), registrationOf("y", signer.JWKS())); code != http.StatusForbidden {
		t.Errorf("it registers another: %d", code)
	}
	if code := ask(http.MethodDelete, "/y", own(), nil); code != http.StatusForbidden {
		t.Errorf("it removes another: %d", code)
	}
	if code := ask(http.MethodDelete, "/x", own(), nil); code != http.StatusNoContent {
		t.Errorf("it goes: %d", code)
	}
	for n := range controlplane.MaxRegistrations + 1 {
		want := http.StatusOK
		if n == controlplane.MaxRegistrations {
			want = http.StatusConflict
		}
		if code := ask(http.MethodPut, "", registrationSecret, registrationOf(fmt.Sprint("x", n), signer.JWKS())); code != want {
			t.Errorf("registration %d: %d", n, code)
		}
	}
}

// registered is a control plane, "x", that has registered itself with the provider.
type registered struct {
	r      *running
	signer *auth.Signer
}

// selfRegistered has it registered, with its signaling API and its token endpoint at a URL.
func (r *running) selfRegistered(url string) *registered {
	tb := r.w.tb
	tb.Helper()
	signer, err := auth.NewSigner(newKey(tb))
	if err != nil {
		tb.Fatal(err)
	}
	x := &registered{r, signer}
	registration := strings.ReplaceAll(string(registrationOf("x", signer.JWKS())), "https://cp.example", url)
	if a := x.sendAs(registrationSecret, http.MethodPut, "/controlplanes", []byte(registration)); a.code != http.StatusOK {
		tb.Fatalf("%d %s", a.code, a.body)
	}
	return x
}

// send makes a call with a token of its own.
func (x *registered) send(method, path string, body []byte) answer {
	x.r.w.tb.Helper()
	now := time.Now()
	token, err := x.signer.Sign(map[string]any{
		"iss": "x", "sub": "x", "aud": "provider-tidegate", "iat": now.Unix(), "exp": now.Add(time.Minute).Unix(), "jti": rand.Text(),
	})
	if err != nil {
		x.r.w.tb.Fatal(err)
	}
	return x.sendAs(token, method, path, body)
}

func (x *registered) sendAs(token, method, path string, body []byte) answer {
	x.r.w.tb.Helper()
	req, err := http.NewRequestWithContext(context.Background(), method, "http://"+x.r.signaling+"/participants/provider"+path, bytes.NewReader(body))
	if err != nil {
		x.r.w.tb.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	return x.r.do(req)
}

// TestAFlowOfAControlPlaneThatRegisteredItselfIsNoneOfTheDocuments: when it can't go on, the control plane that made it hears why, and ends
// it by its signal; the Management API of the tenant's document is not asked to terminate what it does not know.
func TestAFlowOfAControlPlaneThatRegisteredItselfIsNoneOfTheDocuments(t *testing.T) {
	w := newWorld(t)
	var mu sync.Mutex
	var management, told []string
	record := func(all *[]string) http.HandlerFunc {
		return func(rw http.ResponseWriter, req *http.Request) {
			body, _ := io.ReadAll(req.Body)
			mu.Lock()
			*all = append(*all, req.URL.Path+" "+string(body))
			mu.Unlock()
			rw.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(rw, `{"access_token":"t","token_type":"Bearer","expires_in":600}`)
		}
	}
	seen := func(all *[]string, part string) bool {
		mu.Lock()
		defer mu.Unlock()
		return slices.ContainsFunc(*all, func(s string) bool { return strings.Contains(s, part) })
	}
	api := httptest.NewServer(record(&management))
	t.Cleanup(api.Close)
	cp := httptest.NewServer(record(&told))
	t.Cleanup(cp.Close)
	w.allowRegistration("provider")
	w.write("tenants/provider.yaml", strings.Replace(w.read("tenants/provider.yaml"), w.outside.URL+"/management", api.URL, 1))
	r := w.start(func(c *gateway.Config) { c.PrivateControlPlanes = true })
	x := r.selfRegistered(cp.URL)
	d := r.publish("provider", "a", []byte("a"))
	dec := gatewayapi.Decision{
		ID: gatewayapi.AgreementRecordID("agr"), AgreementID: "agr", DatasetID: d.ID, CounterPartyID: "did:web:consumer.test",
		Verdict: gatewayapi.Approved, Rule: "all", By: "rules", Mode: "veto", DecidedAt: time.Now(),
	}
	if _, err := r.api.Put(t.Context(), "provider", gatewayapi.KindDecision, dec.ID, dec, gatewayapi.Always()); err != nil {
		t.Fatal(err)
	}
	m := flowMessage("m1", "of-x", dps.ProfileHTTPPull)
	m["datasetId"] = d.ID
	start, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	if a := x.send(http.MethodPost, "/dataflows/start", start); a.code != http.StatusOK {
		t.Fatalf("start: %d %s", a.code, a.body)
	}

	if err := r.api.Errored(t.Context(), "provider", "of-x", "disk full"); err != nil {
		t.Fatal(err)
	}
	within(t, "it hears why", func() bool {
		return seen(&told, `/signaling/transfers/of-x/dataflow/errored {`) && seen(&told, "disk full")
	})
	within(t, "all is told", func() bool { return w.rdb.XLen(t.Context(), keys.Outbox(keys.Shard("provider"))).Val() == 0 })
	if f, err := r.api.Flow(t.Context(), "provider", "of-x"); err != nil || f.State != dps.Started {
		t.Errorf("errored changes no state: %+v %v", f, err)
	}
	if seen(&management, "of-x") {
		t.Errorf("the document's Management API heard of it: %q", management)
	}
	if a := x.send(http.MethodPost, "/dataflows/of-x/terminate", []byte(`{"messageId":"m2","reason":"disk full"}`)); a.code != http.StatusOK {
		t.Errorf("terminate: %d %s", a.code, a.body)
	}
	if f, err := r.api.Flow(t.Context(), "provider", "of-x"); err != nil || f.State != dps.Terminated {
		t.Errorf("%+v %v", f, err)
	}
}

// TestTheDecisionOnAFlowOfAControlPlaneThatRegisteredItselfIsMadeByWhatItTells of the agreement; if it tells nothing there is none.
func TestTheDecisionOnAFlowOfAControlPlaneThatRegisteredItselfIsMadeByWhatItTells(t *testing.T) {
	w := newWorld(t)
	var agreement atomic.Pointer[http.HandlerFunc]
	cp := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		switch {
		case strings.HasSuffix(req.URL.Path, "/token"):
			rw.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(rw, `{"access_token":"t","token_type":"Bearer","expires_in":600}`)
		case req.URL.Path == "/signaling/transfers/of-x/agreement":
			(*agreement.Load())(rw, req)
		}
	}))
	t.Cleanup(cp.Close)
	var management atomic.Int64
	api := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { management.Add(1) }))
	t.Cleanup(api.Close)
	questions := make(chan gatewayapi.DecideRequest, 10)
	var r *running
	approver := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		var q gatewayapi.DecideRequest
		if err := json.NewDecoder(req.Body).Decode(&q); err != nil {
			t.Error(err)
		}
		questions <- q
		d := gatewayapi.Decision{
			ID: gatewayapi.AgreementRecordID(q.AgreementID), AgreementID: q.AgreementID, DatasetID: q.DatasetID, CounterPartyID: q.CounterPartyID,
			Verdict: gatewayapi.Approved, Rule: "all", By: "rules", Mode: "veto", DecidedAt: time.Now(),
		}
		if _, err := r.api.Put(context.Background(), "provider", gatewayapi.KindDecision, d.ID, d, gatewayapi.Always()); err != nil {
			t.Error(err)
		}
		rw.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(rw).Encode(d)
	}))
	t.Cleanup(approver.Close)
	w.allowRegistration("provider")
	w.write("tenants/provider.yaml", strings.Replace(w.read("tenants/provider.yaml"), w.outside.URL+"/management", api.URL, 1))
	r = w.start(func(c *gateway.Config) {
		c.PrivateControlPlanes, c.ApproverURL, c.DecisionWait = true, approver.URL, 10*time.Second
	})
	x := r.selfRegistered(cp.URL)
	asked := management.Load() // it registers itself there
	d := r.publish("provider", "a", []byte("a"))
	m := flowMessage("m1", "of-x", dps.ProfileHTTPPull)
	m["datasetId"] = d.ID
	start, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	told := `{"@context":["https://w3id.org/dspace/2025/1/context.jsonld"],"@type":"Agreement","@id":"agr","target":"` + d.ID + `",` +
		`"assigner":"did:web:us.test","assignee":"did:web:consumer.test","timestamp":"2026-11-24T10:00:00Z","permission":[{"action":"use"}]}`
	for _, c := range []struct {
		status int
		body   string
		want   int
	}{
		{http.StatusNotFound, "", http.StatusForbidden},
		{http.StatusNotImplemented, "", http.StatusForbidden},
		{http.StatusInternalServerError, "", http.StatusServiceUnavailable},
		{http.StatusOK, "no agreement", http.StatusServiceUnavailable},
		{http.StatusOK, told, http.StatusOK},
	} {
		h := http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
			rw.WriteHeader(c.status)
			_, _ = io.WriteString(rw, c.body)
		})
		agreement.Store(&h)
		a := x.send(http.MethodPost, "/dataflows/start", start)
		if a.code != c.want {
			t.Errorf("the agreement is answered %d %q, and the start %d %s", c.status, c.body, a.code, a.body)
		}
		if n := len(questions); (n > 0) != (c.want == http.StatusOK) {
			t.Errorf("the agreement is answered %d, and the approver asked %d times", c.status, n)
		}
	}
	q := <-questions
	if a := q.Agreement; a == nil || a.DatasetID != d.ID || a.ConsumerID != "did:web:consumer.test" || a.ProviderID != "did:web:us.test" {
		t.Errorf("the approver is told %+v", a)
	}
	if n := management.Load() - asked; n > 1 { // the registration may come late
		t.Errorf("the Management API of the tenant's document was called %d times", n)
	}
}

// TestTheAgreementOfAFlowIsHadFromItsControlPlane also says which side failed.
func TestTheAgreementOfAFlowIsHadFromItsControlPlane(t *testing.T) {
	w := newWorld(t)
	var answer atomic.Pointer[http.HandlerFunc] // a request that the gateway has given up may arrive when the next answer is set
	answers := func(f http.HandlerFunc) { answer.Store(&f) }
	cp := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		if strings.HasSuffix(req.URL.Path, "/agreement") {
			(*answer.Load())(rw, req)
		}
	}))
	t.Cleanup(cp.Close)
	file := "tenants/provider.yaml"
	w.write(file, strings.NewReplacer("controlPlane:\n", "controlPlane:\n  dialect: "+string(dps.DialectDPS10)+"\n", w.outside.URL+"/signaling", cp.URL).Replace(w.read(file)))
	r := w.start(func(c *gateway.Config) { c.AllowPlainHTTP = true })
	d := r.publish("provider", "a", []byte("a"))
	g := r.startFlow("provider", d)
	get := func() int { // by a client that has the patience for a control plane that hangs
		t.Helper()
		return r.do(r.internalRequest(http.MethodGet, "/v1/participants/provider/dataflows/"+g.flow+"/agreement", "")).code
	}
	answers(func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusInternalServerError) })
	if code := get(); code != http.StatusBadGateway {
		t.Errorf("a control plane that fails: %d", code)
	}
	gone := make(chan struct{})
	answers(func(_ http.ResponseWriter, req *http.Request) {
		select {
		case <-req.Context().Done():
		case <-gone:
		}
	})
	if code := get(); code != http.StatusGatewayTimeout {
		t.Errorf("a control plane that hangs: %d", code)
	}
	close(gone)
	answers(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(rw, `{"@context":["https://w3id.org/dspace/2025/1/context.jsonld"],"@type":"Agreement","@id":"urn:agr","target":"`+d.ID+`",`+
			`"assigner":"did:web:provider.test","assignee":"did:web:consumer.test","timestamp":"2026-11-24T10:00:00Z","permission":[{"action":"use"}]}`)
	})
	if code := get(); code != http.StatusOK {
		t.Errorf("a control plane that tells: %d", code)
	}
}
