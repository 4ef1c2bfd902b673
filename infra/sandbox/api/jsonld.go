package api

import (
	"strings"

	"github.com/tidegate/tidegate/infra/sandbox/model"
)

// prefixes are those of the management context that may stand in property keys.
var prefixes = map[string]string{
	"edc":    model.NS,
	"odrl":   "http://www.w3.org/ns/odrl/2/",
	"dcat":   "http://www.w3.org/ns/dcat#",
	"dct":    "http://purl.org/dc/terms/",
	"dspace": "https://w3id.org/dspace/2025/1/",
	"dpf":    "https://w3id.org/dspace-sig/profile/",
}

// expand turns the keys of properties into full IRIs: @vocab for plain ones, the context's for prefixed ones. A list of one is
// its element and null is nothing, as JSON-LD has it.
func expand(in map[string]any) map[string]any {
	out := map[string]any{}
	for k, v := range in {
		if v = collapse(v); v != nil {
			out[expandKey(k)] = v
		}
	}
	return out
}

func expandKey(k string) string {
	prefix, local, ok := strings.Cut(k, ":")
	switch {
	case !ok:
		return model.NS + k
	case strings.HasPrefix(local, "//"):
		return k
	}
	if ns, ok := prefixes[prefix]; ok {
		return ns + local
	}
	return k
}

func collapse(v any) any {
	switch x := v.(type) {
	case []any:
		if len(x) == 1 {
			return collapse(x[0])
		}
	case map[string]any:
		if val, ok := x["@value"]; ok {
			return val
		}
	}
	return v
}

// compact is expand backwards.
func compact(in map[string]any) map[string]any {
	out := map[string]any{}
	for k, v := range in {
		out[compactKey(k)] = v
	}
	return out
}

func compactKey(k string) string {
	if short, ok := strings.CutPrefix(k, model.NS); ok {
		return short
	}
	for p, ns := range prefixes {
		if short, ok := strings.CutPrefix(k, ns); ok && short != "" && p != "dpf" {
			return p + ":" + short
		}
	}
	return k
}

// withContext adds the management context to an answer.
func withContext(m map[string]any) map[string]any {
	m["@context"] = []string{managementContext}
	return m
}

func idResponse(id string, createdAt int64) map[string]any {
	return withContext(map[string]any{"@type": "IdResponse", "@id": id, "createdAt": createdAt})
}
