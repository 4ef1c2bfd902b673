package renewal

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/tidegate/tidegate/dps-gateway/internal/flowstore"
	"github.com/tidegate/tidegate/shared/dps"
	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/tenant"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func address(endpoint string) *dps.DataAddress {
	a := dps.NewBearerAddress(dps.ProfileHTTPPull, endpoint+"/data", "access")
	a.Add(dps.PropertyRefreshToken, "refresh+1")
	a.Add(dps.PropertyExpiresIn, "60")
	return a
}

// TestTheRequestIsThatOfTheProfile has a Vault sign, and looks at all that goes over the wire.
func TestTheRequestIsThatOfTheProfile(t *testing.T) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	vault := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in struct {
			Input   string `json:"input"`
			Version int    `json:"key_version"`
		}
		_ = json.NewDecoder(r.Body).Decode(&in)
		text, _ := base64.StdEncoding.DecodeString(in.Input)
		if r.URL.Path != "/v1/transit/sign/consumer" || r.Header.Get("X-Vault-Token") != "s.1" || r.Header.Get("X-Vault-Namespace") != "ns" || in.Version != 3 {
			t.Errorf("Vault is asked %s %v", r.URL.Path, r.Header)
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"data": map[string]any{"signature": "vault:v3:" + base64.StdEncoding.EncodeToString(ed25519.Sign(private, text))}})
	}))
	defer vault.Close()
	secret := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(secret, []byte("s.1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var header, claims map[string]any
	var form string
	endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		form = r.PostForm.Encode()
		if r.Method != http.MethodPost || r.URL.Path != "/data" || r.URL.RawQuery != "" || r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" {
			t.Errorf("%s %s %v", r.Method, r.URL, r.Header)
		}
		parts := strings.Split(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "), ".")
		if len(parts) != 3 {
			t.Errorf("no JWT: %v", r.Header)
			return
		}
		for i, into := range []*map[string]any{&header, &claims} {
			b, _ := base64.RawURLEncoding.DecodeString(parts[i])
			_ = json.Unmarshal(b, into)
		}
		if sig, _ := base64.RawURLEncoding.DecodeString(parts[2]); !ed25519.Verify(public, []byte(parts[0]+"."+parts[1]), sig) {
			t.Error("the signature does not hold")
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"access_token":"next","token_type":"bearer"}`))
	}))
	defer endpoint.Close()
	r := &Renewer{Peers: endpoint.Client(), Vault: vault.Client()}
	tn := &tenant.Tenant{DID: "did:web:consumer.test", Renewal: tenant.Renewal{Key: tenant.RenewalKey{ID: "did:web:consumer.test#k", Vault: tenant.Vault{
		URL: vault.URL, TokenFile: secret, Key: "consumer", Version: 3, Mount: "transit", Algorithm: tenant.AlgorithmEdDSA, Namespace: "ns",
	}}}}
	old := address(endpoint.URL) // without a refreshEndpoint: the endpoint itself
	fresh, err := r.ask(t.Context(), tn, &flowstore.HeldAddress{Address: old, CounterPartyID: "did:web:provider.test"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(old.With(dps.PropertyAuthorization, "next"), fresh); diff != "" {
		t.Errorf("what the answer leaves out stays (-want +got):\n%s", diff)
	}
	if form != "grant_type=refresh_token&refresh_token=refresh%2B1" {
		t.Errorf("form %q", form)
	}
	if diff := cmp.Diff(map[string]any{"alg": "EdDSA", "kid": "did:web:consumer.test#k", "typ": "JWT"}, header); diff != "" {
		t.Errorf("header:\n%s", diff)
	}
	now := float64(time.Now().Unix())
	iat, _ := claims["iat"].(float64)
	exp, _ := claims["exp"].(float64)
	if jti, _ := claims["jti"].(string); len(jti) < 16 || iat > now || iat < now-30 || exp <= now || exp > now+600 {
		t.Errorf("claims %v", claims)
	}
	for _, name := range []string{"jti", "iat", "exp"} {
		delete(claims, name)
	}
	if diff := cmp.Diff(map[string]any{"iss": "did:web:consumer.test", "sub": "did:web:consumer.test", "aud": "did:web:provider.test", "token": "access"}, claims); diff != "" {
		t.Errorf("claims:\n%s", diff)
	}
}

func TestWhatARefreshEndpointMayAnswer(t *testing.T) {
	for name, tt := range map[string]struct {
		body                     string
		access, expires, refresh string // "" = refused
	}{
		"all":                          {`{"access_token":"a","token_type":"Bearer","expires_in":120,"refresh_token":"r"}`, "a", "120", "r"},
		"the token alone":              {`{"access_token":"a"}`, "a", "60", "refresh+1"},
		"seconds as a text":            {`{"access_token":"a","expires_in":"90"}`, "a", "90", "refresh+1"},
		"a fraction of a second":       {`{"access_token":"a","expires_in":90.7}`, "a", "90", "refresh+1"},
		"more than we know":            {`{"access_token":"a","scope":"x","id_token":{}}`, "a", "60", "refresh+1"},
		"no token":                     {`{"expires_in":120}`, "", "", ""},
		"another type":                 {`{"access_token":"a","token_type":"mac"}`, "", "", ""},
		"no life":                      {`{"access_token":"a","expires_in":0}`, "", "", ""},
		"a life of thousands of years": {`{"access_token":"a","expires_in":1e300}`, "", "", ""},
		"no JSON":                      {`access_token=a`, "", "", ""},
		"nothing":                      {``, "", "", ""},
	} {
		got, err := renewedAddress(address("https://p.test"), []byte(tt.body))
		if tt.access == "" {
			if !problem.Is(err, problem.Upstream) {
				t.Errorf("%s: %v, %v", name, got, err)
			}
			continue
		}
		if err != nil || got.Property(dps.PropertyAuthorization) != tt.access || got.Property(dps.PropertyExpiresIn) != tt.expires || got.Property(dps.PropertyRefreshToken) != tt.refresh {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	for code, kind := range map[int]problem.Kind{400: problem.Conflict, 401: problem.Conflict, 404: problem.Conflict, 302: problem.Conflict, 408: problem.Unavailable, 429: problem.Unavailable, 500: problem.Unavailable, 503: problem.Unavailable} {
		err := refusal(code, []byte(`{"error":"invalid_grant","error_description":"hunter2"}`))
		if !problem.Is(err, kind) || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "invalid_grant") {
			t.Errorf("%d: %v", code, err)
		}
	}
}

func FuzzRenewedAddress(f *testing.F) {
	f.Add([]byte(`{"access_token":"a","token_type":"Bearer","expires_in":120,"refresh_token":"r"}`))
	f.Add([]byte(`{"access_token":1}`))
	f.Add([]byte(`{"access_token":"a","expires_in":-1e9}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		a, err := renewedAddress(address("https://p.test"), body)
		if err == nil && (!a.Renewable() || dps.ValidateAddress(a, dps.ProfileHTTPPull, false) != nil) {
			t.Errorf("%q became %+v", body, a)
		}
	})
}
