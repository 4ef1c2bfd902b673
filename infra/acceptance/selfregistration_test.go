package acceptance

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/infra/internal/demo"
	"github.com/tidegate/tidegate/infra/internal/local"
	"github.com/tidegate/tidegate/shared/management"
)

const operatorSecret = "the-operators-secret-for-registrations"

// selfRegistered are the clients of a participant whose control plane registers itself: the one that the gateway is to call back as, two
// by which the test speaks as the registered control plane and as another one; and the registration itself.
const selfRegistered = `
      - {id: gateway-of-%[1]s, secret: s, role: dataplane, subject: %[1]s-tidegate}
      - {id: self-of-%[1]s, secret: s, role: controlplane, subject: "urn:cp:%[1]s", audience: [%[1]s-tidegate]}
      - {id: other-of-%[1]s, secret: s, role: controlplane, subject: "urn:cp:other", audience: [%[1]s-tidegate]}
    controlPlane: {id: "urn:cp:%[1]s", client: gateway-of-%[1]s, secret: a-secret-that-nobody-knows}
`

// TestAControlPlaneRegistersItself moves files where the tenants' documents name a signaling URL at which nobody is, and a control plane that
// makes no call: what comes to its end does so by the registration alone. Sandbox and gateway are processes, Redis a redis-server.
func TestAControlPlaneRegistersItself(t *testing.T) {
	layout := newLayout(t)
	if _, err := local.Prepare(layout, binDir(t)); err != nil { // the files as the launcher makes them
		t.Fatal(err)
	}
	secret := filepath.Join(layout.Dir, "secrets", "registration")
	if err := os.WriteFile(secret, []byte(operatorSecret), 0o600); err != nil {
		t.Fatal(err)
	}
	sandbox := filepath.Join(layout.Dir, "sandbox.yaml")
	allow := func(pc string) {
		t.Helper()
		edit(t, filepath.Join(layout.Tenants(), pc+".yaml"), func(doc string) string {
			return strings.Replace(doc, "  signaling:\n", "  signaling:\n    registration: allowed\n    registrationTokenFile: "+secret+"\n", 1)
		})
	}
	for _, pc := range []string{"provider", "consumer"} {
		edit(t, filepath.Join(layout.Tenants(), pc+".yaml"), func(doc string) string {
			return strings.Replace(doc, "signalingUrl: "+layout.SandboxURL(), "signalingUrl: http://127.0.0.1:1", 1)
		})
		edit(t, sandbox, func(text string) string {
			client := "- {id: " + pc + "-cp, "
			line := client + strings.SplitN(strings.SplitN(text, client, 2)[1], "\n", 2)[0] + "\n"
			return strings.Replace(text, line, line+strings.TrimPrefix(fmt.Sprintf(selfRegistered, pc), "\n"), 1)
		})
	}
	allow("provider") // the consumer's document does not
	if err := os.MkdirAll(filepath.Join(layout.Dir, "redis"), 0o700); err != nil {
		t.Fatal(err)
	}
	redis := startRedis(t, filepath.Join(layout.Dir, "redis"), filepath.Join(layout.Logs(), "redis.log"))
	s := &selfRegistration{house: start(t, layout, "REDIS_URL=redis://"+redis+"/0", "ALLOW_PRIVATE_CONTROLPLANES=true")}

	eventually(t, time.Minute, s.registrations(t, "401 ", "401 ")) // a secret that is none; a document that does not allow it

	allow("consumer")
	eventually(t, time.Minute, func() string { // the gateway has read it: the operator is heard
		if code := s.signal(t, "consumer", http.MethodDelete, "/controlplanes/nobody", operatorSecret, ""); code != http.StatusNotFound {
			return fmt.Sprintf("the operator is answered %d", code)
		}
		return ""
	})
	s.restartSandbox(t, func(text string) string {
		return strings.ReplaceAll(text, "a-secret-that-nobody-knows", operatorSecret)
	})
	eventually(t, time.Minute, s.registrations(t, "registered", "registered"))
	s.delivered(t, "registered.txt")

	s.others(t)

	// It gives the gateway other credentials, with a token of its own: the former are good for nothing any more.
	s.restartSandbox(t, func(text string) string {
		return strings.NewReplacer("gateway-of-", "renewed-gateway-of-", ", secret: "+operatorSecret, "").Replace(text)
	})
	eventually(t, time.Minute, s.registrations(t, "registered", "registered"))
	s.delivered(t, "changed.txt")

	if err := s.controlPlane(t, "consumer").DeleteDataPlane(t.Context(), "consumer-tidegate"); err != nil {
		t.Fatal(err)
	}
	eventually(t, time.Minute, s.registrations(t, "registered", "deregistered"))
	if code := s.signal(t, "consumer", http.MethodGet, "/dataflows/"+s.flow(t, "consumer")+"/status", s.token(t, "self-of-consumer"), ""); code != http.StatusUnauthorized {
		t.Errorf("a control plane that has gone is answered %d", code)
	}
	for _, pc := range []string{"provider", "consumer"} {
		for p, err := range s.Gateway.Parked(t.Context(), pc) {
			t.Errorf("parked: %+v %v", p, err)
		}
	}
}

// selfRegistration is a deployment whose control planes register themselves.
type selfRegistration struct{ *house }

// others tries everything on a finished flow of the registered control plane: that of the document, another one that is registered, and the
// other tenant's are all told that there is none, or not let in; its own hears what is so.
func (s *selfRegistration) others(t *testing.T) {
	t.Helper()
	other := fmt.Sprintf(`{"controlplaneId":"urn:cp:other","endpoint":"http://127.0.0.1:1/signaling","authorization":{"type":"oauth2_client_credentials",`+
		`"tokenEndpoint":"%[1]s/idp/oauth/token","clientId":"x","clientSecret":"x","jwksUri":"%[1]s/idp/keys"}}`, s.layout.SandboxURL())
	if code := s.signal(t, "provider", http.MethodPut, "/controlplanes", operatorSecret, other); code != http.StatusOK {
		t.Fatalf("another control plane is registered: %d", code)
	}
	at := "/dataflows/" + s.flow(t, "provider")
	for _, tt := range []struct {
		client    string
		see, move int
	}{
		{"self-of-provider", http.StatusOK, http.StatusBadRequest}, // its state is final
		{"other-of-provider", http.StatusNotFound, http.StatusNotFound},
		{"self-of-consumer", http.StatusUnauthorized, http.StatusUnauthorized},
	} {
		if code := s.signal(t, "provider", http.MethodGet, at+"/status", s.token(t, tt.client), ""); code != tt.see {
			t.Errorf("%s asks for the state: %d", tt.client, code)
		}
		for _, what := range []string{"suspend", "resume"} {
			if code := s.signal(t, "provider", http.MethodPost, at+"/"+what, s.token(t, tt.client), `{"messageId":"m-`+tt.client+what+`"}`); code != tt.move {
				t.Errorf("%s: %s is answered %d", tt.client, what, code)
			}
		}
	}
	if code := s.signal(t, "provider", http.MethodDelete, "/controlplanes/urn:cp:provider", s.token(t, "other-of-provider"), ""); code != http.StatusForbidden {
		t.Errorf("one removes another: %d", code)
	}
}

// registrations waits for what the sandbox has heard of its registrations, by the beginnings of it.
func (s *selfRegistration) registrations(t *testing.T, provider, consumer string) func() string {
	t.Helper()
	key, err := os.ReadFile(s.layout.SandboxAdminFile())
	if err != nil {
		t.Fatal(err)
	}
	return func() string {
		var status struct {
			Registrations map[string]string `json:"registrations"`
		}
		code, body := s.do(t, http.MethodGet, s.layout.SandboxURL()+"/sandbox/status", strings.TrimSpace(string(key)), "")
		if code != http.StatusOK || json.Unmarshal(body, &status) != nil {
			return fmt.Sprintf("status: %d %s", code, body)
		}
		got := status.Registrations
		if !strings.HasPrefix(got["provider-tidegate"], provider) || !strings.HasPrefix(got["consumer-tidegate"], consumer) {
			return fmt.Sprintf("registrations: %q", got)
		}
		return ""
	}
}

// restartSandbox changes the sandbox's configuration and kills it: it is started again by itself.
func (s *selfRegistration) restartSandbox(t *testing.T, change func(string) string) {
	t.Helper()
	edit(t, filepath.Join(s.layout.Dir, "sandbox.yaml"), change)
	p := s.Processes()[0]
	starts := p.Starts()
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	eventually(t, time.Minute, func() string {
		if p.Starts() == starts {
			return p.Name + " was not started again"
		}
		return ""
	})
}

func (s *selfRegistration) delivered(t *testing.T, name string) {
	t.Helper()
	f := s.write(t, name, []byte("content of "+name))
	eventually(t, 2*time.Minute, s.arrived([]demo.File{f}))
	eventually(t, time.Minute, s.settled(t))
	for _, pc := range []string{"provider", "consumer"} {
		eventually(t, time.Minute, func() string {
			if s.flow(t, pc) == "" {
				return pc + " has no transfer that is complete"
			}
			return ""
		})
	}
}

// flow is a transfer of the tenant's that is complete; "" if there is none.
func (s *selfRegistration) flow(t *testing.T, pc string) string {
	t.Helper()
	for tp, err := range s.controlPlane(t, pc).QueryTransfers(t.Context(), management.Query{}) {
		if err != nil {
			t.Fatal(err)
		}
		if tp.State == "COMPLETED" {
			return tp.ID
		}
	}
	return ""
}

// token is one of a client of the sandbox.
func (s *selfRegistration) token(t *testing.T, client string) string {
	t.Helper()
	res, err := http.PostForm(s.layout.SandboxURL()+"/idp/oauth/token", url.Values{"grant_type": {"client_credentials"}, "client_id": {client}, "client_secret": {"s"}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	var token struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.NewDecoder(res.Body).Decode(&token); err != nil || token.AccessToken == "" {
		t.Fatalf("a token for %s: %d %v", client, res.StatusCode, err)
	}
	return token.AccessToken
}

// signal makes a call at the gateway's signaling listener and returns the status of the answer.
func (s *selfRegistration) signal(t *testing.T, pc, method, path, token, body string) int {
	t.Helper()
	code, _ := s.do(t, method, s.layout.SignalingURL()+"/participants/"+pc+path, token, body)
	return code
}

func (*selfRegistration) do(t *testing.T, method, url, token, body string) (int, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, bytes.NewReader([]byte(body)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil { // not up again yet
		return 0, []byte(err.Error())
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, b
}
