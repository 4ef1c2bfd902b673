package gateway_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/dps-gateway/internal/controlplane"
	"github.com/tidegate/tidegate/dps-gateway/internal/gateway"
	"github.com/tidegate/tidegate/shared/auth"
	"github.com/tidegate/tidegate/shared/dps"
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

// TestTheAgreementOfAFlowIsHadFromItsControlPlane also says which side failed.
func TestTheAgreementOfAFlowIsHadFromItsControlPlane(t *testing.T) {
	w := newWorld(t)
	var answer http.HandlerFunc
	cp := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		if strings.HasSuffix(req.URL.Path, "/agreement") {
			answer(rw, req)
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
	answer = func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusInternalServerError) }
	if code := get(); code != http.StatusBadGateway {
		t.Errorf("a control plane that fails: %d", code)
	}
	gone := make(chan struct{})
	answer = func(_ http.ResponseWriter, req *http.Request) {
		select {
		case <-req.Context().Done():
		case <-gone:
		}
	}
	if code := get(); code != http.StatusGatewayTimeout {
		t.Errorf("a control plane that hangs: %d", code)
	}
	close(gone)
	answer = func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(rw, `{"@context":["https://w3id.org/dspace/2025/1/context.jsonld"],"@type":"Agreement","@id":"urn:agr","target":"`+d.ID+`",`+
			`"assigner":"did:web:provider.test","assignee":"did:web:consumer.test","timestamp":"2026-11-24T10:00:00Z","permission":[{"action":"use"}]}`)
	}
	if code := get(); code != http.StatusOK {
		t.Errorf("a control plane that tells: %d", code)
	}
}
