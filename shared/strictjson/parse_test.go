package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	tests := map[string]struct {
		text string
		want error
	}{
		"an object":                       {` {"a": {"b": [1]}} `, nil},
		"names that differ in their case": {`{"a": 1, "A": 2}`, nil},
		"as deep as may be":               {strings.Repeat(`{"a":`, MaxDepth) + "1" + strings.Repeat("}", MaxDepth), nil},
		"deeper":                          {strings.Repeat(`{"a":`, MaxDepth+1) + "1" + strings.Repeat("}", MaxDepth+1), ErrTooDeep},
		"a member twice":                  {`{"a": 1, "b": 2, "a": 1}`, ErrTwice},
		"a member twice, spelt otherwise": {`{"a": 1, "\u0061": 1}`, ErrTwice},
		"a member twice, further in":      {`{"b": [{"a": 1, "a": 1}]}`, ErrTwice},
		"bytes that are no UTF-8":         {"{\"a\": \"\xff\"}", ErrNotUTF8},
		"nothing":                         {" ", ErrNoObject},
		"null":                            {"null", ErrNoObject},
		"a list":                          {"[]", ErrNoObject},
		"two objects":                     {"{}{}", ErrNoObject},
		"half an object":                  {`{"a": `, ErrNoObject},
	}
	for name, tt := range tests {
		if _, err := Parse([]byte(tt.text)); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
}

// FuzzParse holds the parser to encoding/json: both read the same, unless the parser refuses.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		`{}`, ` { "a" : [ 1 , -2.5e+3 , true , false , null , "x" ] , "b" : { "c" : "\\\"\\u00e4\\\\" } } `, `{"\u0061":1,"a":2}`,
		`{"a":{"a":{"a":[]}}}`, `{"":""}`, "{\"a\":\"\u00e4\",\"b\":\"\\ud83d\\ude00\"}", `{"a":1}{}`, `{"a":1,}`, "\ufeff{\"a\":1}", " \ufeff{}", "\v{}", "\u00a0{}",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := Parse(text)
		if err != nil {
			if errors.Is(err, ErrNoObject) && json.Valid(text) && bytes.HasPrefix(bytes.TrimSpace(text), []byte("{")) {
				t.Fatalf("%q is a JSON object, and yet: %v", text, err)
			}
			return
		}
		want := map[string]any{}
		dec := json.NewDecoder(bytes.NewReader(text))
		dec.UseNumber()
		if err := dec.Decode(&want); err != nil {
			t.Fatalf("%q was read, but is no JSON: %v", text, err)
		}
		if diff := cmp.Diff(any(want), bare(got)); diff != "" {
			t.Fatalf("%q (-encoding/json +parser):\n%s", text, diff)
		}
	})
}

// bare turns objects into the maps that encoding/json makes.
func bare(v any) any {
	switch v := v.(type) {
	case Object:
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
