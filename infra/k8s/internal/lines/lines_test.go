package lines_test

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/eventing/catalogue"
	"github.com/tidegate/tidegate/eventing/localbroker/filter"
	"github.com/tidegate/tidegate/eventing/localbroker/manifest"
	"github.com/tidegate/tidegate/infra/k8s/internal/check"
	"github.com/tidegate/tidegate/infra/k8s/internal/devsecrets"
	"github.com/tidegate/tidegate/infra/k8s/internal/lines"
	"github.com/tidegate/tidegate/infra/k8s/internal/render"
)

// overlay is a copy of dev, with all that it is made of, outside of the repository: a test that is killed leaves nothing there.
func overlay(tb testing.TB) string {
	tb.Helper()
	root := tb.TempDir()
	if err := os.WriteFile(filepath.Join(root, "go.work"), nil, 0o600); err != nil { // by which the root of a repository is known
		tb.Fatal(err)
	}
	for _, part := range []string{"infra/k8s/base", "infra/k8s/components", "infra/k8s/overlays/dev", "eventing/manifests"} {
		if err := os.CopyFS(filepath.Join(root, part), os.DirFS(filepath.Join("../../../..", part))); err != nil {
			tb.Fatal(err)
		}
	}
	dir := filepath.Join(root, "infra/k8s/overlays/dev")
	_ = os.RemoveAll(filepath.Join(dir, "lines"))
	if err := devsecrets.Write(dir); err != nil {
		tb.Fatal(err)
	}
	return dir
}

// add gives a tenant, whose participant context is pc-<line>, a line.
func add(tb testing.TB, dir, line string) {
	tb.Helper()
	tmp := tb.TempDir()
	secret := filepath.Join(tmp, "pc-"+line+"-app")
	if err := os.WriteFile(secret, []byte("a-secret-of-"+line), 0o600); err != nil {
		tb.Fatal(err)
	}
	doc := filepath.Join(tmp, "doc.yaml")
	text := "participantContextId: pc-" + line + "\ndid: did:web:" + line + ".example\nline: " + line + "\n" +
		"controlPlane:\n  managementUrl: http://sandbox.tidegate.svc.cluster.local/management\n  signalingUrl: http://sandbox.tidegate.svc.cluster.local/signaling\n" +
		"  signaling: {authorization: {type: network}}\n" +
		"auth: {type: client_credentials, tokenEndpoint: 'http://sandbox.tidegate.svc.cluster.local/idp/oauth/token', clientId: x, clientSecretFile: /etc/tidegate/secrets/pc-" + line + "-app}\n" +
		"buckets: [{name: b, url: 's3://b?region=us-east-1'}]\n"
	if err := os.WriteFile(doc, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
	if err := lines.Add(lines.Line{Overlay: dir, Name: line, Document: doc, Secrets: []string{secret}}); err != nil {
		tb.Fatal(err)
	}
}

func rendered(tb testing.TB, dir string) []byte {
	tb.Helper()
	parts, err := render.Overlay(dir)
	if err != nil {
		tb.Fatal(err)
	}
	return render.Stream(parts)
}

// No event is handled twice, and none by nobody: for whatever tenants have lines, an event that a shared Trigger wanted before anybody
// had one is wanted by that Trigger of exactly one line, the tenant's, or the shared one if it has none.
func TestEachEventIsHandledByTheFunctionsOfOneLine(t *testing.T) {
	all := []string{"acme", "blue", "c1"}
	before := triggers(t, rendered(t, overlay(t)))
	for n := range len(all) + 1 {
		if t.Failed() {
			return // rapid goes on with no test that has failed
		}
		own := all[:n]
		dir := overlay(t)
		for _, l := range own {
			add(t, dir, l)
		}
		text := rendered(t, dir)
		for _, f := range check.Manifests(text, check.Options{}) {
			t.Errorf("%d lines: %s", n, f)
		}
		after := triggers(t, text)
		if len(after) != len(before)*(n+1) {
			t.Fatalf("%d lines: %d Triggers, want %d", n, len(after), len(before)*(n+1))
		}
		rapid.Check(t, func(r *rapid.T) {
			e, line := drawn(r, all)
			if !slices.Contains(own, line) {
				line = ""
			}
			for name, was := range before {
				var got, want []string
				if filter.Matches(was.filter, e) {
					want = []string{was.subscriber + suffix(line)}
				}
				for _, l := range append([]string{""}, own...) {
					if now := after[name+suffix(l)]; filter.Matches(now.filter, e) {
						got = append(got, now.subscriber)
					}
				}
				if !slices.Equal(got, want) {
					r.Fatalf("own lines %v, event %v: Trigger %s: handled by %v, want %v", own, e, name, got, want)
				}
			}
		})
	}
}

func suffix(line string) string {
	if line == "" {
		return ""
	}
	return "-" + line
}

// drawn is an event of any type, of a tenant with a line, of one without, or, a tick, of nobody.
func drawn(r *rapid.T, all []string) (e *event.Event, line string) {
	types := []string{"dev.knative.sources.ping"}
	for _, d := range catalogue.All() {
		types = append(types, d.Type)
	}
	ev := event.New()
	ev.SetID("1")
	ev.SetSource("/s")
	ev.SetType(rapid.SampledFrom(types).Draw(r, "type"))
	line = rapid.SampledFrom(append([]string{"", "nobody"}, all...)).Draw(r, "line")
	if line != "" {
		ev.SetExtension(catalogue.ExtParticipantContextID, "pc-"+line)
	}
	for name, values := range map[string][]string{
		catalogue.ExtSchedule: {"", "sweep", "supply", "reconcile"}, catalogue.ExtFlowRole: {"", "PROVIDER", "CONSUMER"}, catalogue.ExtFlowDirection: {"", "PULL", "PUSH"},
	} {
		if v := rapid.SampledFrom(values).Draw(r, name); v != "" {
			ev.SetExtension(name, v)
		}
	}
	return &ev, line
}

type trigger struct {
	filter     filter.Filter
	subscriber string
}

// triggers are the Triggers of rendered manifests, as the local broker reads them.
func triggers(tb testing.TB, text []byte) map[string]trigger {
	tb.Helper()
	var mine [][]byte
	for doc := range bytes.SplitSeq(text, []byte("\n---\n")) {
		if bytes.Contains(doc, []byte("eventing.knative.dev/v1\nkind: ")) {
			mine = append(mine, doc)
		}
	}
	set, err := manifest.Parse("rendered", bytes.Join(mine, []byte("\n---\n")))
	if err != nil {
		tb.Fatal(err)
	}
	out := map[string]trigger{}
	for i := range set.Triggers {
		f, err := filter.ForTrigger(&set.Triggers[i])
		if err != nil {
			tb.Fatal(err)
		}
		out[set.Triggers[i].Name.Name] = trigger{f, set.Triggers[i].Subscriber.Service}
	}
	return out
}

func TestALineIsTakenAwayWithoutATrace(t *testing.T) {
	dir := overlay(t)
	want := rendered(t, dir)
	add(t, dir, "acme")
	add(t, dir, "blue")
	if err := lines.Remove(dir, "acme"); err != nil {
		t.Fatal(err)
	}
	if text := rendered(t, dir); bytes.Contains(text, []byte("acme")) || !bytes.Contains(text, []byte("transfer-puller-blue")) {
		t.Error("something of acme is left, or blue has gone with it")
	}
	if err := lines.Remove(dir, "blue"); err != nil {
		t.Fatal(err)
	}
	if got := rendered(t, dir); !bytes.Equal(got, want) {
		t.Error("what is rendered is another thing than before")
	}
}

// What the overlay says of all functions stands in its component common, and holds for those of lines.
func TestALineHasWhatTheOverlaySaysOfAllFunctions(t *testing.T) {
	dir := overlay(t)
	common := filepath.Join(dir, "common", "kustomization.yaml")
	b, err := os.ReadFile(common)
	if err != nil {
		t.Fatal(err)
	}
	b = append(b, "components:\n  - ../../../components/token-exchange\n"...)
	b = bytes.ReplaceAll(b, []byte("newTag: dev}"), []byte("newTag: v7}"))
	if err := os.WriteFile(common, b, 0o600); err != nil {
		t.Fatal(err)
	}
	add(t, dir, "acme")
	text := rendered(t, dir)
	for _, f := range check.Manifests(text, check.Options{}) {
		t.Error(f)
	}
	if n := bytes.Count(text, []byte("serviceAccountToken:")); n != 15 {
		t.Errorf("%d pods have a token, want the gateway and twice seven functions", n)
	}
	if n := bytes.Count(text, []byte("image: dev.local/tidegate/transfer-puller:v7")); n != 2 {
		t.Errorf("%d transfer-pullers have the overlay's image, want the shared one and the line's", n)
	}
	if n := bytes.Count(text, []byte("name: tenant-acme\n")); n != 16 { // ConfigMap and Secret, and both by seven functions
		t.Errorf("tenant-acme is named %d times, want 16", n)
	}
}

func TestALineThatTheOverlayDoesNotKnowIsRefused(t *testing.T) {
	for name, undo := range map[string]func(dir string) error{
		"its component was taken off": func(dir string) error {
			file := filepath.Join(dir, "kustomization.yaml")
			b, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			return os.WriteFile(file, bytes.ReplaceAll(b, []byte("  - lines/acme/shared\n"), nil), 0o600)
		},
		"its folder was removed": func(dir string) error { return os.RemoveAll(filepath.Join(dir, "lines", "acme")) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := overlay(t)
			add(t, dir, "acme")
			if err := undo(dir); err != nil {
				t.Fatal(err)
			}
			if _, err := render.Overlay(dir); err == nil || !strings.Contains(err.Error(), "acme") {
				t.Errorf("%v, want an error that names the line", err)
			}
		})
	}
}

func TestALineOfAnotherDocumentIsRefused(t *testing.T) {
	dir, doc := overlay(t), filepath.Join(t.TempDir(), "doc.yaml")
	if err := os.WriteFile(doc, []byte("participantContextId: acme\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"acme": `line: is "", expected is "acme"`, "Acme": "NAME: ", "shared": "NAME: "} {
		err := lines.Add(lines.Line{Overlay: dir, Name: name, Document: doc})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want …%s…", name, err, want)
		}
	}
}

// A hundred tenants with lines of their own are what the API server, Knative's webhooks and our rules take.
func TestAHundredTenantsHaveLinesWithoutAFault(t *testing.T) {
	const n = 100
	dir := overlay(t)
	for i := range n {
		add(t, dir, fmt.Sprintf("t%d", i))
	}
	start := time.Now()
	parts, err := render.Overlay(dir)
	if err != nil {
		t.Fatal(err)
	}
	took := time.Since(start)
	want := map[string]int{"serving.knative.dev/v1 Service": 7, "eventing.knative.dev/v1 Trigger": 8, "sources.knative.dev/v1 PingSource": 3, "v1 ConfigMap": 1, "v1 Secret": 1}
	for _, p := range parts[1:] {
		if got := kinds(p.YAML); !maps.Equal(got, want) {
			t.Fatalf("the line %s is %v, want %v", p.Line, got, want)
		}
	}
	text := render.Stream(parts)
	start = time.Now()
	for _, f := range check.Manifests(text, check.Options{}) {
		t.Error(f)
	}
	t.Logf("%d lines: %v, %d bytes; rendered in %v, checked in %v", n, kinds(text), len(text), took.Round(time.Millisecond), time.Since(start).Round(time.Millisecond))
}

// kinds counts the objects of rendered manifests by their types.
func kinds(text []byte) map[string]int {
	out := map[string]int{}
	for doc := range bytes.SplitSeq(text, []byte("\n---\n")) {
		var version, kind string
		for line := range strings.SplitSeq(string(doc), "\n") {
			if v, ok := strings.CutPrefix(line, "apiVersion: "); ok {
				version = v
			}
			if v, ok := strings.CutPrefix(line, "kind: "); ok {
				kind = v
			}
		}
		out[version+" "+kind]++
	}
	return out
}
