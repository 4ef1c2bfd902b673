package auth

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/tenant"
)

// tokenServer is a token endpoint that remembers the forms it got.
type tokenServer struct {
	*httptest.Server
	mu    sync.Mutex
	forms []url.Values
}

func newTokenServer(t *testing.T, answer func(w http.ResponseWriter, r *http.Request)) *tokenServer {
	t.Helper()
	s := &tokenServer{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		form, _ := url.ParseQuery(string(body))
		if id, secret, ok := r.BasicAuth(); ok {
			form.Set("basic", id+":"+secret)
		}
		s.mu.Lock()
		s.forms = append(s.forms, form)
		s.mu.Unlock()
		answer(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *tokenServer) last() url.Values {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.forms[len(s.forms)-1]
}

func answerJSON(status int, v any) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v)
	}
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func exchangeTenant(endpoint, tokenFile string) *tenant.Tenant {
	return &tenant.Tenant{ParticipantContextID: "pc1", Auth: tenant.Auth{
		Type: TypeTokenExchange, TokenEndpoint: endpoint, SubjectTokenFile: tokenFile, Audience: "edcv", Scopes: []string{"read", "write"},
	}}
}

func clientTenant(endpoint, secretFile string) *tenant.Tenant {
	return &tenant.Tenant{ParticipantContextID: "pc1", Auth: tenant.Auth{
		Type: TypeClientCredentials, TokenEndpoint: endpoint, ClientID: "pc1", ClientSecretFile: secretFile, Scopes: []string{"management-api:write"},
	}}
}

func TestExchangeSendsTheFormOfRFC8693AndReadsTheWorkloadTokenAnew(t *testing.T) {
	s := newTokenServer(t, answerJSON(200, map[string]any{
		"access_token": "a.b.c", "token_type": "Bearer", "expires_in": 3600, "issued_token_type": tokenTypeJWT, "scope": "read write",
	}))
	file := write(t, "token", "workload-1\n")
	src, err := ForTenant(exchangeTenant(s.URL+"/token", file), nil)
	if err != nil {
		t.Fatal(err)
	}
	token, err := src.Token(t.Context())
	if err != nil || token != "a.b.c" {
		t.Fatalf("%q, %v", token, err)
	}
	want := url.Values{
		"grant_type":         {"urn:ietf:params:oauth:grant-type:token-exchange"},
		"subject_token":      {"workload-1"},
		"subject_token_type": {"urn:ietf:params:oauth:token-type:jwt"},
		"resource":           {"pc1"},
		"scope":              {"read write"},
		"audience":           {"edcv"},
	}
	if diff := cmp.Diff(want, s.last()); diff != "" {
		t.Errorf("form (-want +got):\n%s", diff)
	}
	if err := os.WriteFile(file, []byte("workload-2"), 0o600); err != nil {
		t.Fatal(err)
	}
	src.Invalidate(token)
	if _, err := src.Token(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := s.last().Get("subject_token"); got != "workload-2" {
		t.Errorf("after a rotation %q was sent", got)
	}
}

func TestClientCredentialsSurviveARotationOfTheSecret(t *testing.T) {
	var secret atomic.Value
	secret.Store("first")
	s := newTokenServer(t, func(w http.ResponseWriter, r *http.Request) {
		id, given, basic := r.BasicAuth()
		if !basic || id != "pc1" || given != secret.Load() {
			answerJSON(401, map[string]string{"error": "invalid_client", "error_description": "secret was " + given})(w, r)
			return
		}
		answerJSON(200, map[string]any{"access_token": "t-" + given, "token_type": "bearer", "expires_in": 300})(w, r)
	})
	file := write(t, "secret", "first\n")
	src, err := ForTenant(clientTenant(s.URL, file), s.Client())
	if err != nil {
		t.Fatal(err)
	}
	token, err := src.Token(t.Context())
	if err != nil || token != "t-first" {
		t.Fatalf("%q, %v", token, err)
	}
	if got := s.last(); got.Get("grant_type") != "client_credentials" || got.Get("scope") != "management-api:write" {
		t.Errorf("form %v", got)
	}
	secret.Store("second")
	src.Invalidate(token)
	if _, err = src.Token(t.Context()); !problem.Is(err, problem.Upstream) || !strings.Contains(err.Error(), "invalid_client") {
		t.Errorf("with the old secret: %v", err)
	}
	if strings.Contains(err.Error(), "first") {
		t.Errorf("the error holds the secret: %v", err)
	}
	if err := os.WriteFile(file, []byte("second"), 0o600); err != nil {
		t.Fatal(err)
	}
	if token, err = src.Token(t.Context()); err != nil || token != "t-second" {
		t.Errorf("with the new secret: %q, %v", token, err)
	}
}

func TestFiftyCallersCauseOneTokenRequestOverHTTP(t *testing.T) {
	release := make(chan struct{})
	s := newTokenServer(t, func(w http.ResponseWriter, r *http.Request) {
		<-release
		answerJSON(200, map[string]any{"access_token": "t", "token_type": "Bearer", "expires_in": 300})(w, r)
	})
	src, err := ForTenant(exchangeTenant(s.URL, write(t, "token", "w")), nil)
	if err != nil {
		t.Fatal(err)
	}
	var wg, asking sync.WaitGroup
	for range 50 {
		asking.Add(1)
		wg.Go(func() {
			asking.Done()
			if token, err := src.Token(t.Context()); err != nil || token != "t" {
				t.Errorf("%q, %v", token, err)
			}
		})
	}
	asking.Wait()
	close(release)
	wg.Wait()
	if n := len(s.forms); n != 1 {
		t.Errorf("%d token requests, want 1", n)
	}
}

// The reply of a token endpoint may repeat what was sent: nothing of it may reach an error but its error code.
func TestAFailingTokenEndpointIsReportedWithoutSecrets(t *testing.T) {
	const secret = "s3cr3t-value"
	tests := map[string]struct {
		answer func(http.ResponseWriter, *http.Request)
		kind   problem.Kind
		says   string
	}{
		"it refuses the client":            {answerJSON(403, map[string]string{"error": "unauthorized_client", "error_description": secret}), problem.Upstream, "403 (unauthorized_client)"},
		"its error code is no error code":  {answerJSON(400, map[string]string{"error": secret + " 1"}), problem.Upstream, "400 (no error code)"},
		"it fails":                         {answerJSON(500, map[string]string{"error": "server_error"}), problem.Unavailable, "500 (server_error)"},
		"it is overloaded":                 {answerJSON(429, nil), problem.Unavailable, "429"},
		"it answers 200 with an error":     {answerJSON(200, map[string]string{"error": "invalid_grant"}), problem.Upstream, "invalid_grant"},
		"it answers a page":                {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>" + secret)) }, problem.Upstream, "no token response"},
		"it gives a token of another type": {answerJSON(200, map[string]any{"access_token": "t", "token_type": "mac"}), problem.Upstream, "no bearer token"},
		"its token would break a header":   {answerJSON(200, map[string]any{"access_token": "t\r\nX: y", "token_type": "Bearer"}), problem.Upstream, "no bearer token"},
		"it redirects": {func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/elsewhere" {
				answerJSON(200, map[string]any{"access_token": "stolen", "token_type": "Bearer"})(w, r)
				return
			}
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		}, problem.Upstream, "307"},
		"it hangs up": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, problem.Unavailable, "cannot be reached"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := newTokenServer(t, tt.answer)
			src, err := ForTenant(clientTenant(s.URL, write(t, "secret", secret)), nil)
			if err != nil {
				t.Fatal(err)
			}
			token, err := src.Token(t.Context())
			if !problem.Is(err, tt.kind) || token != "" {
				t.Fatalf("%q, %v (%v), want kind %v", token, err, problem.KindOf(err), tt.kind)
			}
			if !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), secret) {
				t.Errorf("the error says %q, want %q in it and no secret", err, tt.says)
			}
		})
	}
}

func TestATokenFileThatIsGoneIsAPassingFault(t *testing.T) {
	s := newTokenServer(t, answerJSON(200, map[string]any{"access_token": "t", "token_type": "Bearer"}))
	for name, text := range map[string]string{"empty": " \n", "over 64 KiB": strings.Repeat("x", maxSecretFile+1)} {
		src, err := ForTenant(exchangeTenant(s.URL, write(t, "token", text)), nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := src.Token(t.Context()); !problem.Is(err, problem.Unavailable) || !strings.Contains(err.Error(), name) {
			t.Errorf("a file that is %s: %v", name, err)
		}
	}
	src, err := ForTenant(exchangeTenant(s.URL, filepath.Join(t.TempDir(), "none")), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := src.Token(t.Context()); !problem.Is(err, problem.Unavailable) || !strings.Contains(err.Error(), "none") {
		t.Errorf("a file that is missing: %v", err)
	}
	if len(s.forms) != 0 {
		t.Error("a request was made without a subject token")
	}
}

func TestForTenantNamesWhatIsWrongWithTheAuthSection(t *testing.T) {
	tests := map[string]struct {
		change func(*tenant.Auth)
		field  string
	}{
		"no type":            {func(a *tenant.Auth) { a.Type = "" }, "auth.type"},
		"no token endpoint":  {func(a *tenant.Auth) { a.TokenEndpoint = "" }, "auth.tokenEndpoint"},
		"a relative one":     {func(a *tenant.Auth) { a.TokenEndpoint = "/token" }, "auth.tokenEndpoint"},
		"one with a secret":  {func(a *tenant.Auth) { a.TokenEndpoint = "https://a:b@idp/token" }, "auth.tokenEndpoint"},
		"no client":          {func(a *tenant.Auth) { a.ClientID = "" }, "auth.clientId"},
		"no secret":          {func(a *tenant.Auth) { a.ClientSecretFile = "" }, "auth.clientSecretFile"},
		"no workload's file": {func(a *tenant.Auth) { a.Type = TypeTokenExchange }, "auth.subjectTokenFile"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			tn := clientTenant("https://idp.example/token", "/run/secret")
			tt.change(&tn.Auth)
			_, err := ForTenant(tn, nil)
			if e, ok := errors.AsType[*problem.Error](err); !ok || e.Field != tt.field || e.Kind != problem.Invalid {
				t.Errorf("got %v, want a fault of %s", err, tt.field)
			}
		})
	}
}
