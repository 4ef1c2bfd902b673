package dps

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseObjectTakesWhatStandsForNothing(t *testing.T) {
	for text, want := range map[string]object{
		"": {}, " \n": {}, "null": {}, "\ufeff": {}, "\ufeff{\"a\": \"b\"}": {"a": "b"}, " {} ": {}, "\ufeff\ufeff{}": nil, " \ufeff{}": nil, "[]": nil, "nul": nil,
	} {
		got, err := parseObject([]byte(text))
		if (err == nil) != (want != nil) || !cmp.Equal(got, want) {
			t.Errorf("%q: %v %v, want %v", text, got, err, want)
		}
	}
}
