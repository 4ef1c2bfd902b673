package acceptance

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidegate/tidegate/infra/internal/demo"
	"github.com/tidegate/tidegate/infra/internal/local"
	"github.com/tidegate/tidegate/shared/management"
)

// mount is a folder as the kubelet mounts a ConfigMap or a Secret: each key is a link into ..data, which is a link to the version in force.
type mount struct {
	dir  string
	keys []string
	n    int
}

// put makes the files those of a new version, in the kubelet's order: all is there before ..data is swapped, links of new keys come
// after it, and those of keys that are gone dangle for a moment.
func (m *mount) put(t *testing.T, files map[string]string) {
	t.Helper()
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	old := fmt.Sprintf("..version-%d", m.n)
	m.n++
	version := fmt.Sprintf("..version-%d", m.n)
	at := func(name ...string) string { return filepath.Join(append([]string{m.dir}, name...)...) }
	do(os.MkdirAll(at(version), 0o750))
	for key, text := range files {
		do(os.WriteFile(at(version, key), []byte(text), 0o600))
	}
	do(os.Symlink(version, at("..data_tmp")))
	do(os.Rename(at("..data_tmp"), at("..data")))
	for key := range files {
		if !slices.Contains(m.keys, key) {
			do(os.Symlink(filepath.Join("..data", key), at(key)))
			m.keys = append(m.keys, key)
		}
	}
	m.keys = slices.DeleteFunc(m.keys, func(key string) bool {
		_, kept := files[key]
		if !kept {
			do(os.Remove(at(key)))
		}
		return !kept
	})
	do(os.RemoveAll(at(old)))
}

// comers is a deployment whose tenants come and go.
type comers struct {
	*house

	tenants, secrets mount
	documents        map[string]string // file → text, of all who may come
}

// startComers starts it with the sandbox's two participants as tenants. A third one, "newcomer", is known to the dataspace alone: it is a
// consumer like the other.
func startComers(t *testing.T) *comers {
	t.Helper()
	layout := newLayout(t)
	if _, err := local.Prepare(layout, binDir(t)); err != nil { // makes the documents
		t.Fatal(err)
	}
	keys := filepath.Join(layout.Dir, "secrets")
	c := &comers{
		tenants: mount{dir: filepath.Join(layout.Dir, "mounted-tenants")}, secrets: mount{dir: filepath.Join(layout.Dir, "mounted-secrets")},
		documents: map[string]string{},
	}
	for _, pc := range []string{"provider", "consumer"} {
		b, err := os.ReadFile(filepath.Join(layout.Tenants(), pc+".yaml"))
		if err != nil {
			t.Fatal(err)
		}
		c.documents[pc+".yaml"] = strings.Replace(string(b), "counterparty.id == 'did:web:consumer.example'", "counterparty.id != 'did:web:provider.example'", 1)
	}
	c.documents["newcomer.yaml"] = strings.NewReplacer(keys, c.secrets.dir, "consumer", "newcomer").Replace(c.documents["consumer.yaml"])
	for _, client := range []string{"newcomer-app", "newcomer-cp"} {
		if err := os.WriteFile(filepath.Join(keys, client), []byte("a-secret-of-"+client), 0o600); err != nil { // the identity provider's copy
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(c.inbox(layout, "newcomer"), 0o750); err != nil {
		t.Fatal(err)
	}
	edit(t, filepath.Join(layout.Dir, "sandbox.yaml"), func(text string) string {
		from, to := strings.Index(text, "  - id: consumer\n"), strings.Index(text, "\nevents:\n")
		return text[:to] + strings.ReplaceAll(text[from:to], "consumer", "newcomer") + text[to:]
	})
	c.secrets.put(t, nil)
	c.come(t, "provider", "consumer")
	c.house = start(t, layout, "TENANTS_DIR="+c.tenants.dir)
	return c
}

// come makes these the tenants.
func (c *comers) come(t *testing.T, participantContexts ...string) {
	t.Helper()
	files := map[string]string{}
	for _, pc := range participantContexts {
		files[pc+".yaml"] = c.documents[pc+".yaml"]
	}
	c.tenants.put(t, files)
}

func (*comers) inbox(layout local.Layout, pc string) string {
	return filepath.Join(layout.Dir, "buckets", pc, "inbox")
}

// has tells which of the files have not arrived at a tenant's.
func (c *comers) has(pc string, files ...demo.File) func() string {
	return func() string {
		for _, f := range files {
			if _, sum, err := demo.Digest(filepath.Join(c.inbox(c.layout, pc), f.Name)); err != nil || sum != f.SHA256 {
				return fmt.Sprintf("%s has not arrived at %s", f.Name, pc)
			}
		}
		return ""
	}
}

// registered tells in how far the gateway's tenants and the data planes at the control plane are not these.
func (c *comers) registered(t *testing.T, want ...string) func() string {
	t.Helper()
	slices.Sort(want)
	return func() string {
		var got []string
		for tn, err := range c.Gateway.Tenants(t.Context()) {
			if err != nil {
				return err.Error()
			}
			if len(tn.Problems) > 0 || !tn.Registered {
				return fmt.Sprintf("%s: registered %v, %v", tn.ParticipantContextID, tn.Registered, tn.Problems)
			}
			got = append(got, tn.ParticipantContextID)
		}
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			return "the gateway's tenants (-want +got):\n" + diff
		}
		if n := c.dataPlanes(t); n != len(want) {
			return fmt.Sprintf("%d data planes are registered at the control plane, want %d", n, len(want))
		}
		return ""
	}
}

// dataPlanes is how many the control plane knows.
func (c *comers) dataPlanes(t *testing.T) int {
	t.Helper()
	key, err := os.ReadFile(c.layout.SandboxAdminFile())
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.layout.SandboxURL()+"/sandbox/status", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(key)))
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	var status struct {
		Rows struct {
			DataPlanes int `json:"dataPlanes"`
		} `json:"rows"`
	}
	if err := json.NewDecoder(res.Body).Decode(&status); err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("status: %d, %v", res.StatusCode, err)
	}
	return status.Rows.DataPlanes
}

// deliveries counts, by "tenant key", what transfer-puller says that it delivered.
func (c *comers) deliveries(t *testing.T) map[string]int {
	t.Helper()
	f, err := os.Open(filepath.Join(c.layout.Logs(), "transfer-puller.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	count := map[string]int{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var line struct {
			Message string `json:"message"`
			PC      string `json:"participant_context_id"`
			Key     string `json:"key"`
		}
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Message == "delivered" {
			count[line.PC+" "+line.Key]++
		}
	}
	return count
}

// transfers counts a participant's, at its control plane, by state.
func (c *comers) transfers(t *testing.T, pc string) map[string]int {
	t.Helper()
	count := map[string]int{}
	for tp, err := range c.controlPlane(t, pc).QueryTransfers(t.Context(), management.Query{}) {
		if err != nil {
			t.Fatal(err)
		}
		count[tp.State]++
	}
	return count
}

// pids are the processes of the deployment.
func (c *comers) pids() map[string]int {
	out := map[string]int{}
	for i, p := range c.Processes() {
		out[fmt.Sprintf("%d, started %d times", i, p.Starts())] = p.PID()
	}
	return out
}

// TestTenantsComeAndGoWithoutARestart has a tenant join a running deployment, another one leave it and come back, as the kubelet shows a
// changed ConfigMap. Who is there is supplied, who is gone is left alone, and nothing happens twice.
func TestTenantsComeAndGoWithoutARestart(t *testing.T) {
	const long = 2 * time.Minute
	c := startComers(t)
	before := c.pids()
	first := c.write(t, "first.csv", []byte("first"))
	eventually(t, long, c.has("consumer", first))
	eventually(t, long, c.settled(t))

	c.secrets.put(t, map[string]string{"newcomer-app": "a-secret-of-newcomer-app", "newcomer-cp": "a-secret-of-newcomer-cp"})
	c.come(t, "provider", "consumer", "newcomer")
	eventually(t, long, c.registered(t, "provider", "consumer", "newcomer"))
	eventually(t, long, c.has("newcomer", first))

	c.come(t, "provider", "newcomer")
	eventually(t, long, c.registered(t, "provider", "newcomer"))
	gone := c.transfers(t, "consumer")
	second := c.write(t, "second.csv", []byte("second"))
	eventually(t, long, c.has("newcomer", second))
	third := c.write(t, "third.csv", []byte("third"))
	eventually(t, long, c.has("newcomer", third))
	for _, f := range []demo.File{second, third} {
		if _, err := os.Stat(filepath.Join(c.layout.Inbox, f.Name)); err == nil {
			t.Errorf("%s was delivered to a tenant that is gone", f.Name)
		}
	}
	if diff := cmp.Diff(gone, c.transfers(t, "consumer")); diff != "" {
		t.Errorf("transfers of a tenant that is gone, by state (-when it went +later):\n%s", diff)
	}

	c.come(t, "provider", "consumer", "newcomer")
	eventually(t, long, c.registered(t, "provider", "consumer", "newcomer"))
	eventually(t, long, c.has("consumer", first, second, third))
	eventually(t, long, c.settled(t))
	want := map[string]int{}
	for _, pc := range []string{"consumer", "newcomer"} {
		for _, f := range []demo.File{first, second, third} {
			want[pc+" "+f.Name] = 1
		}
	}
	if diff := cmp.Diff(want, c.deliveries(t)); diff != "" {
		t.Errorf("deliveries (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(before, c.pids()); diff != "" {
		t.Errorf("processes (-before +after):\n%s", diff)
	}
}
