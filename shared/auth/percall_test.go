package auth

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// unsigned is a JWT by its form.
func unsigned(claims string) string {
	enc := base64.RawURLEncoding.EncodeToString
	return enc([]byte(`{"alg":"ES256"}`)) + "." + enc([]byte(claims)) + "." + enc([]byte("signature"))
}

func TestATokenWithAnIDIsGoodForOneCall(t *testing.T) {
	var n atomic.Int64
	for name, c := range map[string]struct {
		token    func() string
		requests int
	}{
		"with an id":    {func() string { return unsigned(fmt.Sprintf(`{"sub":"x","jti":"%d"}`, n.Add(1))) }, 3},
		"without an id": {func() string { return unsigned(`{"sub":"x"}`) }, 1},
		"opaque":        {func() string { return "opaque" }, 1},
	} {
		t.Run(name, func(t *testing.T) {
			s := newTokenServer(t, func(w http.ResponseWriter, r *http.Request) {
				answerJSON(200, map[string]any{"access_token": c.token(), "token_type": "Bearer", "expires_in": 600})(w, r)
			})
			file := write(t, "token", "workload-1")
			src := ForExchange(Exchange{
				Endpoint: s.URL, SubjectTokenFile: file, Resource: "plane", Audience: "cp", Scopes: []string{"signaling"},
			}, nil)
			var last string
			for range 3 {
				token, err := src.Token(t.Context())
				if err != nil || (c.requests == 3 && token == last) {
					t.Fatalf("%q %v", token, err)
				}
				last = token
			}
			if len(s.forms) != c.requests {
				t.Errorf("%d requests, want %d", len(s.forms), c.requests)
			}
			if d := cmp.Diff(url.Values{
				"grant_type": {"urn:ietf:params:oauth:grant-type:token-exchange"}, "subject_token": {"workload-1"},
				"subject_token_type": {"urn:ietf:params:oauth:token-type:jwt"}, "requested_token_type": {"urn:ietf:params:oauth:token-type:jwt"},
				"resource": {"plane"}, "audience": {"cp"}, "scope": {"signaling"},
			}, s.last()); d != "" {
				t.Error(d)
			}
			if err := os.WriteFile(file, []byte("workload-2"), 0o600); err != nil {
				t.Fatal(err)
			}
			src.Invalidate(last)
			if _, err := src.Token(t.Context()); err != nil || s.last().Get("subject_token") != "workload-2" {
				t.Errorf("after a rotation %q was sent: %v", s.last().Get("subject_token"), err)
			}
		})
	}
}

func TestARefusedExchangeSaysTheCodeAndNoSecret(t *testing.T) {
	for _, code := range []string{"invalid_request", "invalid_grant", "invalid_target", "unauthorized_client"} {
		s := newTokenServer(t, answerJSON(400, map[string]any{"error": code, "error_description": "workload-1 is not good"}))
		_, err := ForExchange(Exchange{Endpoint: s.URL, SubjectTokenFile: write(t, "token", "workload-1")}, nil).Token(t.Context())
		if err == nil || !strings.Contains(err.Error(), code) || strings.Contains(err.Error(), "workload-1") {
			t.Errorf("%s: %v", code, err)
		}
	}
}

func TestAClientsSecretGoesInTheForm(t *testing.T) {
	s := newTokenServer(t, answerJSON(200, map[string]any{"access_token": "a", "token_type": "Bearer"}))
	if _, err := ForClient(ClientCredentials{Endpoint: s.URL, ClientID: "us", Secret: "s3cret"}, nil).Token(t.Context()); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(url.Values{"grant_type": {"client_credentials"}, "client_id": {"us"}, "client_secret": {"s3cret"}}, s.last()); d != "" {
		t.Error(d)
	}
}
