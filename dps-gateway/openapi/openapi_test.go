package openapi_test

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"

	"github.com/tidegate/tidegate/dps-gateway/internal/data"
	"github.com/tidegate/tidegate/dps-gateway/internal/internalapi"
	"github.com/tidegate/tidegate/dps-gateway/internal/signaling"
	"github.com/tidegate/tidegate/dps-gateway/openapi"
	"github.com/tidegate/tidegate/shared/gatewayapi"
)

// TestEveryRouteIsDescribedAndNothingElse holds the descriptions to the route tables that the servers are built of.
func TestEveryRouteIsDescribedAndNothingElse(t *testing.T) {
	served := map[string][]string{}
	for _, r := range signaling.Routes() {
		served["signaling"] = append(served["signaling"], r.Method+" "+r.Path)
	}
	for _, r := range data.Routes() {
		served["public"] = append(served["public"], r.Method+" "+r.Path)
	}
	for _, r := range internalapi.Routes() {
		served["internal"] = append(served["internal"], r.Method+" "+r.Path)
	}
	for name, want := range served {
		t.Run(name, func(t *testing.T) {
			ops, err := openapi.Operations(name)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, o := range ops {
				got = append(got, o.Method+" "+o.Path)
			}
			slices.Sort(want)
			slices.Sort(got)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-served +described:\n%s", diff)
			}
		})
	}
}

var reference = regexp.MustCompile(`#/components/[A-Za-z]+/[A-Za-z]+`)

func TestEveryReferenceLeadsSomewhereAndEveryPartIsUsed(t *testing.T) {
	for _, name := range []string{"signaling", "public", "internal"} {
		text, err := openapi.Files.ReadFile(name + ".yaml")
		if err != nil {
			t.Fatal(err)
		}
		var doc struct {
			OpenAPI    string                    `yaml:"openapi"`
			Components map[string]map[string]any `yaml:"components"`
		}
		if err := yaml.Unmarshal(text, &doc); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if doc.OpenAPI != "3.1.0" {
			t.Errorf("%s: openapi %q", name, doc.OpenAPI)
		}
		used := reference.FindAllString(string(text), -1)
		for _, ref := range used {
			p := strings.Split(ref, "/")
			if _, ok := doc.Components[p[2]][p[3]]; !ok {
				t.Errorf("%s: %s leads nowhere", name, ref)
			}
		}
		for section, parts := range doc.Components {
			for part := range parts {
				if section != "securitySchemes" && !slices.Contains(used, "#/components/"+section+"/"+part) {
					t.Errorf("%s: components/%s/%s is not used", name, section, part)
				}
			}
		}
	}
}

// TestTheRecordsAreDescribedWithAllTheirMembers holds the schemas of records to the Go types.
func TestTheRecordsAreDescribedWithAllTheirMembers(t *testing.T) {
	text, err := openapi.Files.ReadFile("internal.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Components struct {
			Schemas map[string]struct {
				Properties map[string]any `yaml:"properties"`
			} `yaml:"schemas"`
		} `yaml:"components"`
	}
	if err := yaml.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	for name, v := range map[string]any{
		"Dataset": new(gatewayapi.Dataset), "Decision": new(gatewayapi.Decision), "Supply": new(gatewayapi.Supply), "Delivery": new(gatewayapi.Delivery), "Push": new(gatewayapi.Push),
	} {
		// Only a strict decoder knows every member, those that are omitted when empty too: each described one must be taken.
		for member := range doc.Components.Schemas[name].Properties {
			dec := json.NewDecoder(strings.NewReader(`{"` + member + `":null}`))
			dec.DisallowUnknownFields()
			if err := dec.Decode(v); err != nil {
				t.Errorf("%s.%s is described, yet no member: %v", name, member, err)
			}
		}
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		var members map[string]any
		if err := json.Unmarshal(b, &members); err != nil {
			t.Fatal(err)
		}
		for member := range members {
			if _, ok := doc.Components.Schemas[name].Properties[member]; !ok {
				t.Errorf("%s.%s is not described", name, member)
			}
		}
	}
}
