package api

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidegate/tidegate/infra/sandbox/model"
)

func TestSchemaFaults(t *testing.T) {
	const good = `"@context":["https://w3id.org/edc/connector/management/v2"],"@type":"Asset"`
	for name, tc := range map[string]struct {
		body string
		want []string // message at path
	}{
		"a good document":         {`{` + good + `,"properties":{}}`, nil},
		"nothing":                 {`{}`, []string{"required property '@context' not found at ", "required property '@type' not found at ", "required property 'properties' not found at "}},
		"a context that is text":  {`{"@context":"https://w3id.org/edc/connector/management/v2","@type":"Asset","properties":{}}`, []string{"string found, array expected at /@context"}},
		"another context":         {`{"@context":["https://example.org"],"@type":"Asset","properties":{}}`, []string{`does not contain an element that passes these validations: {"const":"https://w3id.org/edc/connector/management/v2"} at /@context`}},
		"another type":            {`{"@context":["https://w3id.org/edc/connector/management/v2"],"@type":"Thing","properties":{}}`, []string{"must be the constant value 'Asset' at /@type"}},
		"more contexts than ours": {`{"@context":["https://example.org","https://w3id.org/edc/connector/management/v2"],"@type":"Asset","properties":{}}`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			d, err := decodeDocument([]byte(tc.body))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, v := range checkSchema(d, "Asset", []string{"properties"}) {
				got = append(got, v.message+" at "+v.path)
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestPropertyKeysExpandAndCompact(t *testing.T) {
	in := map[string]any{
		"name": "x", "edc:size": 1.0, "dct:title": "t", "https://example.org/a": "b", "list": []any{"one"}, "lists": []any{"one", "two"},
		"gone": nil, "typed": map[string]any{"@value": "v"},
	}
	want := map[string]any{
		model.NS + "name": "x", model.NS + "size": 1.0, "http://purl.org/dc/terms/title": "t", "https://example.org/a": "b",
		model.NS + "list": "one", model.NS + "lists": []any{"one", "two"}, model.NS + "typed": "v",
	}
	if d := cmp.Diff(want, expand(in)); d != "" {
		t.Error(d)
	}
	back := map[string]any{
		"name": "x", "size": 1.0, "dct:title": "t", "https://example.org/a": "b", "list": "one", "lists": []any{"one", "two"}, "typed": "v",
	}
	if d := cmp.Diff(back, compact(want)); d != "" {
		t.Error(d)
	}
}

func TestScopes(t *testing.T) {
	for _, tc := range []struct {
		granted  []string
		required string
		want     bool
	}{
		{[]string{"management-api:read"}, "management-api:assets:read", true},
		{[]string{"management-api:read"}, "management-api:assets:write", false},
		{[]string{"management-api:write"}, "management-api:transfers:read", true},
		{[]string{"management-api:assets:write"}, "management-api:assets:read", true},
		{[]string{"management-api:assets:write"}, "management-api:policies:read", false},
		{[]string{"management-api:assets:admin"}, "management-api:admin", false},
		{[]string{"management-api:admin"}, "management-api:negotiations:write", true},
		{[]string{"identity-api:admin"}, "management-api:assets:read", false},
		{[]string{"nonsense", "a:b:c:d", "management-api:assets:fly", "management-api:read"}, "management-api:assets:read", true},
		{nil, "management-api:assets:read", false},
	} {
		if got := grants(tc.granted, tc.required); got != tc.want {
			t.Errorf("%v grants %s: %v", tc.granted, tc.required, got)
		}
	}
}

// FuzzDecodeDocument feeds bodies to everything that reads one: no panic, and what is accepted can be encoded again.
func FuzzDecodeDocument(f *testing.F) {
	for _, s := range []string{
		``, `{}`, `null`, `[]`, `{"@context":["https://w3id.org/edc/connector/management/v2"],"@type":"QuerySpec","offset":1,"limit":2,"sortOrder":"DESC","filterExpression":[{"operandLeft":"a","operator":"=","operandRight":[1]}]}`,
		`{"properties":{"a":[null],"b":{"@value":1}},"dataplaneMetadata":{"labels":["x"],"profiles":[1],"properties":null}}`,
		`{"callbackAddresses":[{"uri":"u","events":["e"],"transactional":true},1],"protocol":"p","profile":"q"}`,
		`{"policy":{"permission":[],"obligation":{"action":"use"}},"assigner":{"@id":"x"}}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := decodeDocument(b)
		if err != nil || d == nil {
			return
		}
		_ = checkSchema(d, "Asset", []string{"properties"})
		n := &need{d: d}
		_, _ = parseMetadata(n), parseCallbacks(n)
		_, _ = profileOf(n), n.text("assigner")
		if props := n.object("properties"); props != nil {
			if _, err := json.Marshal(compact(expand(props))); err != nil {
				t.Error(err)
			}
		}
		if raw := n.object("policy"); raw != nil {
			_, _ = parseRules(raw)
		}
		if q, err := parseQuery(d); err == nil && (q.Limit < 1 || q.Offset < 0) {
			t.Errorf("accepted: %+v", q)
		}
	})
}

func FuzzDecodeMisbehaviour(f *testing.F) {
	f.Add([]byte(`{"seed":1,"slow":{"minMs":1,"maxMs":2},"errorRate":0.5,"refuseCallbacks":3}`))
	f.Add([]byte(`{"errorRate":1e309}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, err := decodeMisbehaviour(b); err == nil && (m.ErrorRate < 0 || m.ErrorRate > 1 || m.RefuseCallbacks < 0) {
			t.Errorf("accepted: %+v", m)
		}
	})
}
