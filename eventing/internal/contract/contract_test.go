package contract_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/tidegate/tidegate/eventing/catalogue"
	"github.com/tidegate/tidegate/eventing/internal/contract"
	"github.com/tidegate/tidegate/eventing/localbroker/manifest"
)

const root = "../.."

var update = flag.Bool("update", false, "write golden events of types that have none yet")

func TestTheWrittenContractIsWhatIsGenerated(t *testing.T) {
	files, err := contract.Files(root)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join(root, name))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not what go generate writes (%v): %s", name, err, cmp.Diff(string(want), string(got)))
		}
	}
	on, err := filepath.Glob(filepath.Join(root, "catalogue/schemas/*"))
	if err != nil || len(on) != len(catalogue.All()) {
		t.Errorf("%d schemas for %d types (%v)", len(on), len(catalogue.All()), err)
	}
}

func TestGeneratingTwiceGivesTheSameBytes(t *testing.T) {
	first, err := contract.Files(root)
	if err != nil {
		t.Fatal(err)
	}
	second, err := contract.Files(root)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(first, second); diff != "" {
		t.Error(diff)
	}
}

// constants reads the event types that types.go declares, so that none can be forgotten in the catalogue.
func constants(t *testing.T) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, "catalogue/types.go"), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	ast.Inspect(file, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			s, err := strconv.Unquote(lit.Value)
			if err == nil && (strings.HasPrefix(s, "io.tidegate.") || strings.HasPrefix(s, "dev.knative.")) {
				out = append(out, s)
			}
		}
		return true
	})
	slices.Sort(out)
	return out
}

func TestEveryConstantIsInTheCatalogueAndNothingElse(t *testing.T) {
	var described []string
	for _, d := range catalogue.All() {
		described = append(described, d.Type)
		if d.Description == "" || len(d.Producers) == 0 || len(d.Schema()) == 0 {
			t.Errorf("%s lacks a description, a producer or a schema", d.Type)
		}
		if got, ok := catalogue.Lookup(d.Type); !ok || got.Type != d.Type {
			t.Errorf("Lookup does not find %s", d.Type)
		}
	}
	slices.Sort(described)
	if diff := cmp.Diff(constants(t), described); diff != "" {
		t.Errorf("constants and descriptors differ (-constants +descriptors):\n%s", diff)
	}
	if _, ok := catalogue.Lookup("io.tidegate.object.creatd.v1"); ok {
		t.Error("a type that is not there is found")
	}
}

func compile(tb testing.TB, d *catalogue.Descriptor) *jsonschema.Schema {
	tb.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(d.Schema()))
	if err != nil {
		tb.Fatalf("schema of %s: %v", d.Type, err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource(catalogue.SchemaID(d.Type), doc); err != nil {
		tb.Fatal(err)
	}
	s, err := c.Compile(catalogue.SchemaID(d.Type))
	if err != nil {
		tb.Fatalf("schema of %s: %v", d.Type, err)
	}
	return s
}

func TestSchemasAcceptSamplesAndNoMemberLessOrMore(t *testing.T) {
	for _, d := range catalogue.All() {
		t.Run(d.Type, func(t *testing.T) {
			s := compile(t, &d)
			sample := members(t, &d)
			if err := s.Validate(anyOf(sample)); err != nil {
				t.Fatalf("the sample is refused: %v", err)
			}
			removed := 0
			for name := range sample {
				less := members(t, &d)
				delete(less, name)
				optional := optionalMember(d.GoType(), name)
				if err := s.Validate(anyOf(less)); (err == nil) != optional {
					t.Errorf("without %s: %v; optional is %v", name, err, optional)
				}
				if !optional {
					removed++
				}
				misspelt := members(t, &d)
				misspelt[name+"s"] = misspelt[name]
				delete(misspelt, name)
				if s.Validate(anyOf(misspelt)) == nil {
					t.Errorf("%s spelt %ss is accepted", name, name)
				}
				wrong := members(t, &d)
				wrong[name] = []any{wrong[name]}
				if s.Validate(anyOf(wrong)) == nil {
					t.Errorf("a list is accepted as %s", name)
				}
			}
			if d.Type != catalogue.Schedule && removed == 0 {
				t.Error("no member is required")
			}
			more := members(t, &d)
			more["token"] = "x"
			if s.Validate(anyOf(more)) == nil {
				t.Error("a further member is accepted")
			}
		})
	}
}

func anyOf(m map[string]any) any { return m }

// members returns the sample's data as JSON.
func members(t *testing.T, d *catalogue.Descriptor) map[string]any {
	t.Helper()
	out := map[string]any{}
	data := contract.SampleData(d.Type)
	if data == nil {
		return out
	}
	b, err := json.Marshal(data)
	if err != nil {
		t.Fatal(err)
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	m, ok := v.(map[string]any)
	if !ok {
		t.Fatalf("data of %s is %T", d.Type, v)
	}
	return m
}

func optionalMember(of reflect.Type, name string) bool {
	for f := range of.Fields() {
		if n, options, _ := strings.Cut(f.Tag.Get("json"), ","); n == name {
			return strings.Contains(options, "omit")
		}
	}
	return false
}

func TestAsyncAPIDescribesEveryTypeWithItsSchemaAndNothingElse(t *testing.T) {
	b, err := os.ReadFile(filepath.Join(root, "asyncapi.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Channels map[string]struct {
			Messages map[string]any `yaml:"messages"`
		} `yaml:"channels"`
		Operations map[string]struct {
			Action   string `yaml:"action"`
			Messages []struct {
				Ref string `yaml:"$ref"`
			} `yaml:"messages"`
		} `yaml:"operations"`
		Components struct {
			Messages map[string]struct {
				Payload struct {
					Schema struct {
						Ref string `yaml:"$ref"`
					} `yaml:"schema"`
				} `yaml:"payload"`
			} `yaml:"messages"`
		} `yaml:"components"`
	}
	if err := yaml.Unmarshal(b, &doc); err != nil {
		t.Fatal(err)
	}
	if n := len(catalogue.All()); len(doc.Components.Messages) != n || len(doc.Channels["broker"].Messages) != n {
		t.Errorf("%d messages, %d in the channel, %d types", len(doc.Components.Messages), len(doc.Channels["broker"].Messages), n)
	}
	for _, d := range catalogue.All() {
		m, ok := doc.Components.Messages[d.Type]
		if !ok {
			t.Errorf("no message %s", d.Type)
			continue
		}
		schema, err := os.ReadFile(filepath.Join(root, m.Payload.Schema.Ref))
		if err != nil || !bytes.Equal(schema, d.Schema()) {
			t.Errorf("message %s refers to %s, which is not its schema (%v)", d.Type, m.Payload.Schema.Ref, err)
		}
		for _, p := range d.Producers {
			if !slices.ContainsFunc(doc.Operations[p+".send"].Messages, func(r struct {
				Ref string `yaml:"$ref"`
			},
			) bool {
				return r.Ref == "#/channels/broker/messages/"+d.Type
			}) {
				t.Errorf("%s does not send %s", p, d.Type)
			}
		}
	}
}

func TestTriggersNameOnlyTypesOfTheCatalogueAndWakeEveryFunction(t *testing.T) {
	set, err := manifest.LoadDirs(filepath.Join(root, "manifests"))
	if err != nil {
		t.Fatal(err)
	}
	var walk func(m *manifest.Trigger, f *manifest.Filter)
	walk = func(m *manifest.Trigger, f *manifest.Filter) {
		if name, ok := f.Exact["type"]; ok {
			if _, known := catalogue.Lookup(name); !known {
				t.Errorf("%s:%d: Trigger %s wants %s, which is in no catalogue", m.File, m.Line, m.Name, name)
			}
		}
		for i := range f.All {
			walk(m, &f.All[i])
		}
		for i := range f.Any {
			walk(m, &f.Any[i])
		}
	}
	for i := range set.Triggers {
		for j := range set.Triggers[i].Filters {
			walk(&set.Triggers[i], &set.Triggers[i].Filters[j])
		}
	}
	consumers, err := contract.Consumers(set)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]string{
		catalogue.ObjectCreated:         {"asset-publisher"},
		catalogue.ObjectChanged:         {"asset-publisher"},
		catalogue.ObjectRemoved:         {"asset-publisher"},
		catalogue.NegotiationRequested:  {"negotiation-approver"},
		catalogue.NegotiationFinalized:  {"negotiation-approver", "subscription-manager"},
		catalogue.NegotiationTerminated: {"subscription-manager"},
		catalogue.VerdictGiven:          {"negotiation-approver"},
		catalogue.TransferTerminated:    {"subscription-manager"},
		catalogue.TransferProgressed:    {"transfer-puller", "transfer-pusher"},
		catalogue.DataFlowStarted:       {"transfer-puller", "transfer-pusher"},
		catalogue.DataFlowResumed:       {"transfer-puller", "transfer-pusher"},
		catalogue.DataFlowTerminated:    {"subscription-manager"},
		catalogue.ObjectDelivered:       {"subscription-manager"},
		catalogue.Schedule:              {"bucket-events", "negotiation-approver", "subscription-manager"},
	}
	if diff := cmp.Diff(want, consumers); diff != "" {
		t.Errorf("who receives what (-want +got):\n%s", diff)
	}
}

// The golden events are what was once sent. They are never rewritten: -update only adds those of new types.
func TestEveryReleaseReadsTheEventsOfTheFirst(t *testing.T) {
	for _, d := range catalogue.All() {
		t.Run(d.Type, func(t *testing.T) {
			name := filepath.Join(root, "catalogue/testdata/events", d.Type+".json")
			golden, err := os.ReadFile(name)
			if os.IsNotExist(err) && *update {
				golden = write(t, name, &d)
			} else if err != nil {
				t.Fatal(err)
			}
			var e event.Event
			if err := json.Unmarshal(golden, &e); err != nil {
				t.Fatal(err)
			}
			if err := e.Validate(); err != nil {
				t.Fatal(err)
			}
			data, err := d.Decode(&e)
			if err != nil {
				t.Fatal(err)
			}
			want := contract.SampleData(d.Type)
			if want == nil {
				want = catalogue.Tick{}
			}
			if diff := cmp.Diff(want, data); diff != "" {
				t.Errorf("data (-want +got):\n%s", diff)
			}
			if d.Type == catalogue.Schedule {
				return
			}
			if pc, err := catalogue.ParticipantContextID(&e); err != nil || pc != "acme" {
				t.Errorf("participant context %q, %v", pc, err)
			}
			again, err := contract.Sample(&d)
			if err != nil {
				t.Fatal(err)
			}
			if again.ID() != e.ID() {
				t.Errorf("the same happening has id %s now, and had %s: receivers would take it for another", again.ID(), e.ID())
			}
		})
	}
}

func write(t *testing.T, name string, d *catalogue.Descriptor) []byte {
	t.Helper()
	e, err := contract.Sample(d)
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.MarshalIndent(e, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, append(b, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
	return b
}
