package cataloguetest_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/tidegate/tidegate/eventing/catalogue"
	"github.com/tidegate/tidegate/eventing/catalogue/cataloguetest"
	"github.com/tidegate/tidegate/eventing/internal/contract"
)

// releases holds the events and schemas of each release, as they were: a release puts a copy of them there, and nobody changes it.
const releases = "../testdata/releases"

// While a function is upgraded, old and new revisions read each other's events.
func TestReleasesUnderstandEachOther(t *testing.T) {
	dirs, err := filepath.Glob(filepath.Join(releases, "*"))
	if err != nil || len(dirs) == 0 {
		t.Fatalf("no release: %v", err)
	}
	for _, dir := range dirs {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			files, err := filepath.Glob(filepath.Join(dir, "events", "*.json"))
			if err != nil || len(files) == 0 {
				t.Fatalf("no events: %v", err)
			}
			for _, file := range files {
				told(t, file)
			}
			schemas, err := filepath.Glob(filepath.Join(dir, "schemas", "*.json"))
			if err != nil || len(schemas) != len(files) {
				t.Fatalf("%d schemas of %d events: %v", len(schemas), len(files), err)
			}
			for _, d := range catalogue.All() {
				understood(t, &d, filepath.Join(dir, "schemas", d.Type+".schema.json"))
			}
		})
	}
}

// told: what the release sends is what today's code takes.
func told(t *testing.T, file string) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var e event.Event
	if err := json.Unmarshal(b, &e); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	d, ok := catalogue.Lookup(e.Type())
	if !ok {
		t.Errorf("%s: the type is gone; a release before still sends it", e.Type())
		return
	}
	cataloguetest.Check(t, &e)
	if e.Type() == catalogue.Schedule {
		return
	}
	if _, err := d.Decode(&e); err != nil {
		t.Errorf("%s: an event of the release is not decoded: %v", e.Type(), err)
	}
}

// understood: what today's code sends has all that the release's code needs, of the type that it needs. New members are no matter: readers
// leave out what they don't know.
func understood(t *testing.T, d *catalogue.Descriptor, file string) {
	t.Helper()
	b, err := os.ReadFile(file)
	if os.IsNotExist(err) || d.Type == catalogue.Schedule {
		return // a new type: the release has no Trigger for it
	}
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	opened(doc)
	c := jsonschema.NewCompiler()
	if err := c.AddResource("release", doc); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("release")
	if err != nil {
		t.Fatal(err)
	}
	sample, err := contract.Sample(d)
	if err != nil {
		t.Fatal(err)
	}
	data, err := jsonschema.UnmarshalJSON(bytes.NewReader(sample.Data()))
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(data); err != nil {
		t.Errorf("%s: the release would not understand it: %v", d.Type, err)
	}
}

// opened lets a schema take members that it doesn't know.
func opened(schema any) {
	switch s := schema.(type) {
	case map[string]any:
		delete(s, "additionalProperties")
		delete(s, "$id")
		for _, v := range s {
			opened(v)
		}
	case []any:
		for _, v := range s {
			opened(v)
		}
	}
}
