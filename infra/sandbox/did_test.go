package sandbox_test

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/infra/sandbox/config"
	"github.com/tidegate/tidegate/shared/auth"
	"github.com/tidegate/tidegate/shared/did"
	"github.com/tidegate/tidegate/shared/problem"
)

func TestAParticipantWithAKeyHasADIDDocument(t *testing.T) {
	key := filepath.Join(t.TempDir(), "key.pem")
	if _, err := auth.LoadOrCreateSigningKey(key); err != nil {
		t.Fatal(err)
	}
	var id string
	w := newWorld(t, func(c *config.Config) {
		id = "did:web:" + strings.Replace(strings.TrimPrefix(c.PublicURL, "http://"), ":", "%3A", 1) + ":did:consumer"
		c.Participants[1].Identity, c.Participants[1].DIDKeyFile = id, key
	})
	r := did.NewResolver(did.Options{PlainHTTP: true, AllowPrivate: true, Again: time.Nanosecond})
	defer r.Close()
	check := func(file string) error {
		token, err := did.SignAssertion(t.Context(), did.FileKey{File: file}, id+"#key-1", map[string]any{"iss": id, "exp": time.Now().Add(time.Minute).Unix()})
		if err != nil {
			t.Fatal(err)
		}
		a, err := did.ParseAssertion(token)
		if err != nil {
			t.Fatal(err)
		}
		return r.Check(t.Context(), id, a)
	}
	if err := check(key); err != nil {
		t.Errorf("its key: %v", err)
	}
	other := filepath.Join(t.TempDir(), "other.pem")
	if _, err := auth.LoadOrCreateSigningKey(other); err != nil {
		t.Fatal(err)
	}
	if err := check(other); !problem.Is(err, problem.Unauthenticated) {
		t.Errorf("another key: %v", err)
	}
	if err := os.Rename(other, key); err != nil {
		t.Fatal(err)
	}
	if err := check(key); err != nil {
		t.Errorf("after the key was replaced: %v", err)
	}
	get := func(pc string) (int, string) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.url+"/did/"+pc+"/did.json", nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(b)
	}
	_, doc := get("consumer")
	if strings.Contains(doc, `"d"`) || !strings.Contains(doc, `"publicKeyJwk"`) {
		t.Errorf("the document: %s", doc)
	}
	for _, pc := range []string{"provider", "nobody"} {
		if code, _ := get(pc); code != http.StatusNotFound {
			t.Errorf("%s, which has no key: %d", pc, code)
		}
	}
}
