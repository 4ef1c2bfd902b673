package management

import (
	"maps"
	"slices"
	"strings"
)

// The EDC namespace, by its IRI and by its usual prefix.
const (
	edcNamespace = "https://w3id.org/edc/v0.0.1/ns/"
	edcPrefix    = "edc:"
)

// bareName cuts prefix or namespace off a name of DCAT, ODRL or DSP: the part after the last '#', '/' or ':'.
func bareName(name string) string {
	if i := strings.LastIndexAny(name, "#/:"); i >= 0 {
		return name[i+1:]
	}
	return name
}

// bareProperty cuts the EDC namespace off the name of a property. Names of other vocabularies stay as they are: a
// property may be named like one of EDC's there.
func bareProperty(name string) string {
	if s, ok := strings.CutPrefix(name, edcNamespace); ok && s != "" {
		return s
	}
	if s, ok := strings.CutPrefix(name, edcPrefix); ok && s != "" {
		return s
	}
	return name
}

// setBare sets a property by its bare name. If the document has the bare name itself, that one counts.
func setBare(properties map[string]any, name string, v any) {
	bare := bareProperty(name)
	if _, there := properties[bare]; there && bare != name {
		return
	}
	properties[bare] = value(v)
}

func bareProperties(properties map[string]any) map[string]any {
	if properties == nil {
		return nil
	}
	out := make(map[string]any, len(properties))
	for _, name := range sortedKeys(properties) {
		setBare(out, name, properties[name])
	}
	return out
}

// value takes a JSON-LD value object, alone or as the only entry of a list, for the value in it.
func value(v any) any {
	if list, ok := v.([]any); ok && len(list) == 1 {
		if m, ok := list[0].(map[string]any); ok {
			if inner, ok := m["@value"]; ok {
				return inner
			}
		}
	}
	if m, ok := v.(map[string]any); ok {
		if inner, ok := m["@value"]; ok {
			return inner
		}
	}
	return v
}

// text reads a text that may be a value object or a reference ({"@id": text}), or the first of a list.
func text(v any) string {
	if list, ok := v.([]any); ok && len(list) > 0 {
		v = list[0]
	}
	switch v := value(v).(type) {
	case string:
		return v
	case map[string]any:
		s, _ := v["@id"].(string)
		return s
	}
	return ""
}

// listOf makes a list of what JSON-LD may have compacted: nothing, a single value, a list.
func listOf(v any) []any {
	switch v := v.(type) {
	case nil:
		return nil
	case []any:
		return v
	}
	return []any{v}
}

func sortedKeys(m map[string]any) []string { return slices.Sorted(maps.Keys(m)) }
