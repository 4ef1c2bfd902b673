package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
)

// equivalent tells whether two JSON values say the same in JSON-LD: a control plane hands back what it was given in other
// words. A list of one is its element, {"@id": x} and {"@value": x} are x, prefixes and namespaces don't count, nor do empty
// lists, type markers and the id that EDC adds to properties, nor whether a number is spelled as a string.
func equivalent(a, b any) bool {
	x, errX := plain(a)
	y, errY := plain(b)
	return errX == nil && errY == nil && reflect.DeepEqual(x, y)
}

func plain(v any) (any, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber() // a large number keeps its digits
	var decoded any
	if err := d.Decode(&decoded); err != nil {
		return nil, err
	}
	return reduce(decoded), nil
}

func reduce(v any) any {
	switch v := v.(type) {
	case []any:
		return reduceList(v)
	case map[string]any:
		return reduceObject(v)
	case nil:
		return nil
	case string:
		return local(v)
	default:
		return fmt.Sprint(v)
	}
}

func reduceList(list []any) any {
	switch len(list) {
	case 0:
		return nil
	case 1:
		return reduce(list[0])
	}
	out := make([]any, len(list))
	for i, item := range list {
		out[i] = reduce(item)
	}
	return out
}

func reduceObject(object map[string]any) any {
	out := map[string]any{}
	for k, item := range object {
		switch k = local(k); k {
		case "@context", "@type", "id":
			continue
		case "@id":
			if len(object) > 1 {
				continue
			}
		}
		if r := reduce(item); r != nil {
			out[k] = r
		}
	}
	if len(out) == 1 {
		for _, k := range []string{"@id", "@value"} {
			if only, ok := out[k]; ok {
				return only
			}
		}
	}
	return out
}

// local strips the namespaces that EDC compacts or expands.
func local(s string) string {
	for _, ns := range []string{"https://w3id.org/edc/v0.0.1/ns/", "http://www.w3.org/ns/odrl/2/", "edc:", "odrl:"} {
		if rest, ok := strings.CutPrefix(s, ns); ok {
			return rest
		}
	}
	return s
}
