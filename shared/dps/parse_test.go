package dps

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidegate/tidegate/shared/problem"
)

// FuzzParseObject holds the parser to encoding/json: both read the same, unless the parser refuses.
func FuzzParseObject(f *testing.F) {
	for _, s := range []string{
		`{}`, ` { "a" : [ 1 , -2.5e+3 , true , false , null , "x" ] , "b" : { "c" : "\\\"\\u00e4\\\\" } } `, `{"\u0061":1,"a":2}`,
		`{"a":{"a":{"a":[]}}}`, `{"":""}`, "{\"a\":\"\u00e4\",\"b\":\"\\ud83d\\ude00\"}", `{"a":1}{}`, `{"a":1,}`, "\ufeff{\"a\":1}", "\ufeff\ufeff{}", " \ufeff{}", "\v{}", "\u00a0{}",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := parseObject(body)
		if err != nil {
			if !problem.Is(err, problem.Invalid) && !problem.Is(err, problem.TooLarge) {
				t.Fatalf("%q: %v", body, err)
			}
			if strings.Contains(err.Error(), "no JSON object") && json.Valid(body) && bytes.HasPrefix(bytes.TrimSpace(body), []byte("{")) {
				t.Fatalf("%q is a JSON object, and yet: %v", body, err)
			}
			return
		}
		want := map[string]any{}
		body = bytes.TrimPrefix(body, []byte("\ufeff"))
		if trimmed := bytes.Trim(body, " \t\r\n"); len(trimmed) > 0 && string(trimmed) != "null" {
			dec := json.NewDecoder(bytes.NewReader(body))
			dec.UseNumber()
			if err := dec.Decode(&want); err != nil {
				t.Fatalf("%q was read, but is no JSON: %v", body, err)
			}
		}
		if diff := cmp.Diff(any(want), bare(got)); diff != "" {
			t.Fatalf("%q (-encoding/json +parser):\n%s", body, diff)
		}
	})
}

// bare turns objects into the maps that encoding/json makes.
func bare(v any) any {
	switch v := v.(type) {
	case object:
		out := map[string]any{}
		for k, e := range v {
			out[k] = bare(e)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = bare(e)
		}
		return out
	default:
		return v
	}
}
