package controlplanes_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/tidegate/tidegate/functions/controlplanes"
	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/tenant"
)

// outside is a token endpoint and a control plane in one, which count what is asked of them.
type outside struct {
	tokens, calls atomic.Int64
	url           string
}

func newOutside(t *testing.T) *outside {
	t.Helper()
	o := &outside{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.URL.Path == "/token" {
			o.tokens.Add(1)
			_, _ = w.Write([]byte(`{"access_token":"a-token","token_type":"Bearer","expires_in":3600}`))
			return
		}
		o.calls.Add(1)
		_, _ = w.Write([]byte(`{"@id":"a1","properties":{}}`))
	}))
	t.Cleanup(server.Close)
	o.url = server.URL
	return o
}

func (o *outside) tenant(t *testing.T, pc string) *tenant.Tenant {
	t.Helper()
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte("s3cret"), 0o600); err != nil {
		t.Fatal(err)
	}
	return &tenant.Tenant{
		ParticipantContextID: pc, ControlPlane: tenant.ControlPlane{ManagementURL: o.url, Profile: "p"},
		Auth: tenant.Auth{Type: "client_credentials", TokenEndpoint: o.url + "/token", ClientID: pc, ClientSecretFile: file},
	}
}

func TestAllEventsOfATenantShareOneToken(t *testing.T) {
	o := newOutside(t)
	pool, doc := controlplanes.New(http.DefaultClient), o.tenant(t, "one")
	var work sync.WaitGroup
	for range 8 {
		work.Go(func() {
			api, err := pool.Of(doc)
			if err == nil {
				_, err = api.GetAsset(t.Context(), "a1")
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	work.Wait()
	if o.tokens.Load() != 1 || o.calls.Load() != 8 {
		t.Errorf("%d calls took %d tokens", o.calls.Load(), o.tokens.Load())
	}
}

func TestADocumentThatWasReadAnewAndAnotherTenantHaveClientsOfTheirOwn(t *testing.T) {
	o := newOutside(t)
	pool := controlplanes.New(http.DefaultClient)
	doc := o.tenant(t, "one")
	anew := *doc
	first, err := pool.Of(doc)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := pool.Of(doc); err != nil || again != first {
		t.Errorf("the same document gives another client (%v)", err)
	}
	if second, err := pool.Of(&anew); err != nil || second == first {
		t.Errorf("a document that was read anew gives the old client (%v)", err)
	}
	if other, err := pool.Of(o.tenant(t, "two")); err != nil || other == first {
		t.Errorf("another tenant gives the same client (%v)", err)
	}
}

func TestOnlyARefusalOfOurCredentialsBecomesAPassingFault(t *testing.T) {
	for kind, want := range map[problem.Kind]problem.Kind{
		problem.Unauthenticated: problem.Unavailable, problem.Forbidden: problem.Unavailable,
		problem.NotFound: problem.NotFound, problem.Invalid: problem.Invalid, problem.Conflict: problem.Conflict,
		problem.Timeout: problem.Timeout, problem.Internal: problem.Internal, problem.Unprocessable: problem.Unprocessable,
	} {
		if got := problem.KindOf(controlplanes.Passing(problem.New(kind, "x"))); got != want {
			t.Errorf("%v becomes %v, want %v", kind, got, want)
		}
	}
	if controlplanes.Passing(nil) != nil {
		t.Error("no error becomes one")
	}
}
