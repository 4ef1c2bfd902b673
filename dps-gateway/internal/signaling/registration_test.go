package signaling_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/dps-gateway/internal/controlplane"
	"github.com/tidegate/tidegate/dps-gateway/internal/redistest"
	"github.com/tidegate/tidegate/shared/tenant"
)

const operatorSecret = "the-secret-of-the-operator"

// allowRegistration lets control planes register themselves with a tenant.
func (w *world) allowRegistration(pc string) {
	w.tb.Helper()
	file := filepath.Join(w.tb.TempDir(), "registration")
	if err := os.WriteFile(file, []byte(operatorSecret+"\n"), 0o600); err != nil {
		w.tb.Fatal(err)
	}
	s := &w.tenants[pc].ControlPlane.Signaling
	s.DataplaneID, s.Registration, s.RegistrationTokenFile = pc+"-tidegate", tenant.RegistrationAllowed, file
}

// registrationOf is the message of a control plane that proves itself by its own keys.
func registrationOf(id string, keys *idp) string {
	return fmt.Sprintf(`{"controlplaneId":%q,"endpoint":"https://cp.example/signaling","authorization":{"type":"oauth2_client_credentials",`+
		`"tokenEndpoint":"https://cp.example/token","clientId":"us","clientSecret":"s3cret","jwks":%s},"more":1}`, id, keys.signer.JWKS())
}

// as makes a token of a control plane that has registered itself.
func (i *idp) as(tb testing.TB, id, dataplane string) string {
	tb.Helper()
	return i.token(tb, func(c map[string]any) { c["sub"], c["aud"] = id, dataplane })
}

const planesOfConsumer = "/participants/consumer/controlplanes"

func TestAControlPlaneRegistersRotatesItsKeysAndGoes(t *testing.T) {
	rdb, _ := redistest.Mini(t)
	w := newWorld(t, rdb)
	w.allowRegistration("consumer")
	x, rotated := newIDP(t), newIDP(t)
	prepare := func(keys *idp, process string) int {
		return w.send(http.MethodPost, "/participants/consumer/dataflows/prepare", keys.as(t, "x", "consumer-tidegate"), flowMessage("m-"+process, process)).code
	}
	put := func(token, body string) *answer { return w.send(http.MethodPut, planesOfConsumer, token, body) }
	if code := prepare(x, "before"); code != http.StatusUnauthorized {
		t.Errorf("before it is registered: %d", code)
	}
	if a := put(x.as(t, "x", "consumer-tidegate"), registrationOf("x", x)); a.code != http.StatusUnauthorized {
		t.Errorf("it introduces itself: %d %s", a.code, a.body)
	}
	for range 2 { // repeatable
		if a := put(operatorSecret, registrationOf("x", x)); a.code != http.StatusOK {
			t.Fatalf("%d %s", a.code, a.body)
		}
	}
	if code := prepare(x, "a"); code != http.StatusOK {
		t.Errorf("registered: %d", code)
	}
	if code := prepare(rotated, "b"); code != http.StatusUnauthorized {
		t.Errorf("with keys of somebody else: %d", code)
	}
	// By its own token it replaces its registration, and no other.
	if a := put(x.as(t, "x", "consumer-tidegate"), registrationOf("y", x)); a.code != http.StatusForbidden {
		t.Errorf("it registers another: %d %s", a.code, a.body)
	}
	if a := put(x.as(t, "x", "consumer-tidegate"), registrationOf("x", rotated)); a.code != http.StatusOK {
		t.Fatalf("%d %s", a.code, a.body)
	}
	if old, fresh := prepare(x, "c"), prepare(rotated, "c"); old != http.StatusUnauthorized || fresh != http.StatusOK {
		t.Errorf("after the rotation: old keys %d, new keys %d", old, fresh)
	}
	if a := w.send(http.MethodDelete, planesOfConsumer+"/y", rotated.as(t, "x", "consumer-tidegate"), ""); a.code != http.StatusForbidden {
		t.Errorf("it removes another: %d %s", a.code, a.body)
	}
	if a := w.send(http.MethodDelete, planesOfConsumer+"/x", rotated.as(t, "x", "consumer-tidegate"), ""); a.code != http.StatusNoContent {
		t.Errorf("%d %s", a.code, a.body)
	}
	if code := prepare(rotated, "d"); code != http.StatusUnauthorized {
		t.Errorf("after it went: %d", code)
	}
	if a := w.send(http.MethodDelete, planesOfConsumer+"/x", operatorSecret, ""); a.code != http.StatusNotFound {
		t.Errorf("again: %d %s", a.code, a.body)
	}
}

// TestAFlowIsOfTheControlPlaneThatMadeIt: X, Y and the control plane of the document serve one tenant and reach no flow of each other.
func TestAFlowIsOfTheControlPlaneThatMadeIt(t *testing.T) {
	rdb, _ := redistest.Mini(t)
	w := newWorld(t, rdb)
	w.approve("provider", "agr-1", "asset-1", "them-id")
	w.allowRegistration("provider")
	keys := map[string]*idp{"x": newIDP(t), "y": newIDP(t)}
	token := func(who string) string {
		if who == "document" {
			return w.idp.token(t, nil)
		}
		return keys[who].as(t, who, "provider-tidegate")
	}
	for id, k := range keys {
		if a := w.send(http.MethodPut, "/participants/provider/controlplanes", operatorSecret, registrationOf(id, k)); a.code != http.StatusOK {
			t.Fatalf("%d %s", a.code, a.body)
		}
	}
	all := []string{"document", "x", "y"}
	for _, owner := range all {
		id := "tp-" + owner
		if a := w.send(http.MethodPost, "/participants/provider/dataflows/start", token(owner), flowMessage("m1", id)); a.code != http.StatusOK {
			t.Fatalf("%s: %d %s", owner, a.code, a.body)
		}
		for _, other := range all {
			if other == owner {
				continue
			}
			for route, body := range flowRoutes("provider") {
				method, path, _ := strings.Cut(strings.ReplaceAll(route, "tp-1", id), " ")
				want := http.StatusNotFound
				switch {
				case strings.HasSuffix(path, "/start"): // the same message as its owner sent: no answer of another's may be given again
					body, want = flowMessage("m1", id), http.StatusConflict
				case strings.HasSuffix(path, "/prepare"):
					body, want = flowMessage("m1", id), http.StatusConflict
				case strings.HasSuffix(path, "/controlplanes"), strings.Contains(path, "/controlplanes/"):
					continue
				}
				if a := w.send(method, path, token(other), body); a.code != want || strings.Contains(string(a.body), "STARTED") || strings.Contains(string(a.body), "token-") {
					t.Errorf("%s of %s by %s: %d %s", path, owner, other, a.code, a.body)
				}
			}
		}
		if a := w.send(http.MethodPost, "/participants/provider/dataflows/"+id+"/suspend", token(owner), `{"messageId":"m2"}`); a.code != http.StatusOK {
			t.Errorf("%s: %d %s", owner, a.code, a.body)
		}
	}
}

func TestWhatARegistrationMustBe(t *testing.T) {
	rdb, _ := redistest.Mini(t)
	w := newWorld(t, rdb)
	w.deps.AllowPlainHTTP, w.deps.AllowPrivate = false, false
	w.serve()
	w.allowRegistration("consumer")
	good := registrationOf("x", newIDP(t))
	for name, c := range map[string]struct {
		old, new, field string
	}{
		"no id":                         {`"controlplaneId":"x",`, ``, "controlplaneId"},
		"no endpoint":                   {`"endpoint":"https://cp.example/signaling",`, ``, "endpoint"},
		"an endpoint without TLS":       {`https://cp.example/signaling`, `http://cp.example/signaling`, "endpoint"},
		"an endpoint on this machine":   {`https://cp.example/signaling`, `https://127.0.0.1/signaling`, "endpoint"},
		"an endpoint by an inner name":  {`https://cp.example/signaling`, `https://redis:6379/`, "endpoint"},
		"the metadata of a cloud":       {`https://cp.example/token`, `https://169.254.169.254/token`, "authorization.tokenEndpoint"},
		"an endpoint with a query":      {`/signaling"`, `/signaling?x=y"`, "endpoint"},
		"an endpoint with credentials":  {`https://cp.example/signaling`, `https://a:b@cp.example/signaling`, "endpoint"},
		"a long endpoint":               {`/signaling"`, `/` + strings.Repeat("s", 3000) + `"`, "endpoint"},
		"no authorization":              {`"authorization"`, `"other"`, "authorization"},
		"another profile":               {`oauth2_client_credentials`, `basic`, "authorization.type"},
		"no client":                     {`"clientId":"us",`, ``, "authorization.clientId"},
		"no secret":                     {`"clientSecret":"s3cret",`, ``, "authorization.clientSecret"},
		"no keys":                       {`"jwks":`, `"none":`, "authorization.jwksUri"},
		"keys that are none":            {`"kty":"EC"`, `"kty":"oct"`, "authorization.jwks"},
		"keys twice":                    {`"clientId":"us",`, `"clientId":"us","jwksUri":"https://cp.example/jwks",`, "authorization.jwks"},
		"an exchange of its own choice": {`oauth2_client_credentials",`, `oauth2_token_exchange","tokenExchangeEndpoint":"https://evil.example/","issuer":"i","jwksUri":"https://cp.example/jwks","x":`, ""},
	} {
		body := strings.Replace(good, c.old, c.new, 1)
		if c.field == "" {
			body = `{"controlplaneId":"x","endpoint":"https://cp.example/signaling","authorization":{"type":"oauth2_token_exchange",` +
				`"tokenExchangeEndpoint":"https://evil.example/token","issuer":"i","jwksUri":"https://cp.example/jwks"}}`
			c.field = "authorization.tokenExchangeEndpoint"
		}
		if a := w.send(http.MethodPut, planesOfConsumer, operatorSecret, body); a.code != http.StatusBadRequest || a.problem(t).Field != c.field {
			t.Errorf("%s: %d %s", name, a.code, a.body)
		}
	}
	if a := w.send(http.MethodPut, planesOfConsumer, operatorSecret, good); a.code != http.StatusOK {
		t.Errorf("%d %s", a.code, a.body)
	}
	if a := w.send(http.MethodPut, planesOfConsumer, operatorSecret, strings.Repeat(" ", 70<<10)); a.code != http.StatusRequestEntityTooLarge {
		t.Errorf("a large body: %d", a.code)
	}
	for i := range controlplane.MaxRegistrations - 1 {
		w.send(http.MethodPut, planesOfConsumer, operatorSecret, strings.Replace(good, `"x"`, fmt.Sprintf(`"x%d"`, i), 1))
	}
	if a := w.send(http.MethodPut, planesOfConsumer, operatorSecret, strings.Replace(good, `"x"`, `"last"`, 1)); a.code != http.StatusConflict {
		t.Errorf("one too many: %d %s", a.code, a.body)
	}
	if a := w.send(http.MethodPut, planesOfConsumer, operatorSecret, good); a.code != http.StatusOK {
		t.Errorf("a replacement when all places are taken: %d %s", a.code, a.body)
	}
}

// TestTheDocumentDecidesWhoMayRegister: its word stands before any token.
func TestTheDocumentDecidesWhoMayRegister(t *testing.T) {
	rdb, _ := redistest.Mini(t)
	w := newWorld(t, rdb)
	x := newIDP(t)
	put := func(pc, token string) int {
		return w.send(http.MethodPut, "/participants/"+pc+"/controlplanes", token, registrationOf("edc", x)).code
	}
	w.allowRegistration("provider")
	if code := put("consumer", w.idp.token(t, nil)); code != http.StatusForbidden {
		t.Errorf("not allowed, and known: %d", code)
	}
	for name, token := range map[string]string{
		"no token": "", "garbage": "garbage", "the secret of another tenant": operatorSecret,
		"another's token": newIDP(t).token(t, nil), "expired": w.idp.token(t, func(c map[string]any) { c["exp"] = time.Now().Add(-time.Hour).Unix() }),
	} {
		if code := put("consumer", token); code != http.StatusUnauthorized {
			t.Errorf("%s: %d", name, code)
		}
	}
	once := w.idp.token(t, nil)
	if code := put("provider", once); code != http.StatusOK {
		t.Errorf("the document's control plane registers itself: %d", code)
	}
	if a := w.send(http.MethodDelete, "/participants/provider/controlplanes/edc", once, ""); a.code != http.StatusUnauthorized {
		t.Errorf("a replayed token: %d %s", a.code, a.body)
	}
	// Its flows are the same by the document's keys and by those that it has registered.
	w.approve("provider", "agr-1", "asset-1", "them-id")
	if a := w.signal("provider", "start", flowMessage("m1", "tp")); a.code != http.StatusOK {
		t.Fatalf("%d %s", a.code, a.body)
	}
	if a := w.send(http.MethodPost, "/participants/provider/dataflows/tp/suspend", x.as(t, "edc", "provider-tidegate"), `{"messageId":"m2"}`); a.code != http.StatusOK {
		t.Errorf("%d %s", a.code, a.body)
	}
	// What the document takes back is taken back for those that are registered, too.
	w.tenants["provider"].ControlPlane.Signaling.Registration = tenant.RegistrationRefused
	if a := w.send(http.MethodPost, "/participants/provider/dataflows/tp/resume", x.as(t, "edc", "provider-tidegate"), `{"messageId":"m3"}`); a.code != http.StatusUnauthorized {
		t.Errorf("%d %s", a.code, a.body)
	}
	w.tenants["consumer"].ControlPlane.Signaling.Authorization = tenant.SignalingAuthorization{Type: tenant.SignalingNetwork}
	w.allowRegistration("consumer")
	if code := put("consumer", ""); code != http.StatusUnauthorized {
		t.Errorf("the network does not say who registers: %d", code)
	}
	if code := put("consumer", operatorSecret); code != http.StatusOK {
		t.Errorf("the operator does: %d", code)
	}
}
