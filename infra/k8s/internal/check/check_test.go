package check_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	"sigs.k8s.io/yaml"

	"github.com/tidegate/tidegate/infra/k8s/internal/check"
	"github.com/tidegate/tidegate/infra/k8s/internal/devsecrets"
	"github.com/tidegate/tidegate/infra/k8s/internal/render"
)

// dev renders the overlay dev once: its objects as JSON, by "kind/name" (ksvc/name for Knative Services).
var dev = sync.OnceValues(func() (map[string][]byte, error) {
	const overlay = "../../overlays/dev"
	if err := devsecrets.Write(overlay); err != nil {
		return nil, err
	}
	m, err := render.Folder(overlay)
	if err != nil {
		return nil, err
	}
	out := map[string][]byte{}
	for _, r := range m.Resources() {
		j, err := r.MarshalJSON()
		if err != nil {
			return nil, err
		}
		kind := r.GetKind()
		if r.GetGvk().Group == "serving.knative.dev" {
			kind = "ksvc"
		}
		out[kind+"/"+r.GetName()] = j
	}
	return out, nil
})

func stream(objects map[string][]byte) []byte {
	var all [][]byte
	for _, o := range objects {
		all = append(all, o)
	}
	return bytes.Join(all, []byte("\n---\n"))
}

func TestTheDevOverlayHasNoFault(t *testing.T) {
	objects, err := dev()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range check.Manifests(stream(objects), check.Options{}) {
		t.Error(f)
	}
}

// A tenant whose auth is token_exchange names a file that is there only with the component.
func TestWithTokenExchangeEachPodHasATokenForIt(t *testing.T) {
	m, err := render.Folder("testdata/token-exchange")
	if err != nil {
		t.Fatal(err)
	}
	var all [][]byte
	tokens := 0
	for _, r := range m.Resources() {
		j, err := r.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		tokens += bytes.Count(j, []byte(`"serviceAccountToken"`))
		all = append(all, j)
	}
	manifests := bytes.Join(all, []byte("\n---\n"))
	for _, f := range check.Manifests(manifests, check.Options{}) {
		if !strings.HasSuffix(f.Field, ".image") { // which an overlay names
			t.Error(f)
		}
	}
	if tokens != 8 {
		t.Errorf("%d pods have a token, want the gateway and seven functions", tokens)
	}
	without := bytes.ReplaceAll(manifests, []byte(`"path":"workload-token"`), []byte(`"path":"other-token"`))
	found := false
	for _, f := range check.Manifests(without, check.Options{}) {
		found = found || strings.Contains(f.String(), "workload-token")
	}
	if !found {
		t.Error("without the token nobody says that its file is missing")
	}
}

// A function that is off by default comes with all that a function has.
func TestTheExampleOfATransferProfileHasWhatAFunctionHas(t *testing.T) {
	m, err := render.Folder("testdata/nats-stream")
	if err != nil {
		t.Fatal(err)
	}
	text, err := m.AsYaml()
	if err != nil {
		t.Fatal(err)
	}
	promised := []check.Promise{
		{Name: "internal-token", Keys: []string{"internal-token"}},
		{Name: "dps-gateway", Keys: []string{"controlplane-key", "signing-key.pem"}},
		{Name: "tenant-secrets", Keys: []string{"example-app", "example-cp", "example-s3"}},
		{Name: "redis", Keys: []string{"password", "ca.crt"}},
	}
	for _, f := range check.Manifests(text, check.Options{Promised: promised}) {
		t.Error(f)
	}
	if n := bytes.Count(text, []byte("networking.knative.dev/visibility: cluster-local")); n != 8 {
		t.Errorf("%d functions are closed to the outside, want eight", n)
	}
}

// Each file of testdata/broken is the overlay dev with one thing done wrong, and what must be said of it. "remove" takes an object
// away, "patch" (RFC 6902) changes one, "add" puts one more there. Adding a case is adding a file.
func TestEachRuleNamesObjectAndField(t *testing.T) {
	files, err := filepath.Glob("testdata/broken/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var c struct {
				Object string          `json:"object"`
				Remove bool            `json:"remove"`
				Patch  json.RawMessage `json:"patch"`
				Add    json.RawMessage `json:"add"`
				Want   []string        `json:"want"` // regular expressions, one for each fault
			}
			if err := yaml.UnmarshalStrict(b, &c); err != nil {
				t.Fatal(err)
			}
			all, err := dev()
			if err != nil {
				t.Fatal(err)
			}
			objects := maps.Clone(all)
			switch {
			case c.Add != nil:
				objects["added"] = c.Add
			case objects[c.Object] == nil:
				t.Fatalf("there is no object %q", c.Object)
			case c.Remove:
				delete(objects, c.Object)
			default:
				p, err := jsonpatch.DecodePatch(c.Patch)
				if err != nil {
					t.Fatal(err)
				}
				if objects[c.Object], err = p.Apply(objects[c.Object]); err != nil {
					t.Fatal(err)
				}
			}
			faults := check.Manifests(stream(objects), check.Options{})
			if len(faults) != len(c.Want) {
				t.Errorf("%d faults, want %d: %v", len(faults), len(c.Want), faults)
			}
			for _, want := range c.Want {
				re, err := regexp.Compile("^" + want + "$")
				if err != nil {
					t.Fatal(err)
				}
				found := false
				for _, f := range faults {
					found = found || re.MatchString(f.String())
				}
				if !found {
					t.Errorf("want %s\n got %v", want, faults)
				}
			}
		})
	}
}
