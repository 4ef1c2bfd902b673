package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestFaultsOfTheCommandLine(t *testing.T) {
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"a part that is none":  {[]string{"-only", "a,z"}, "-only a,z"},
		"no runs":              {[]string{"-runs", "0"}, "-runs 0"},
		"an argument too much": {[]string{"fast"}, `unknown argument "fast"`},
		"an unknown flag":      {[]string{"-fast"}, "-fast"},
		"a folder without programs": {
			[]string{"-only", "c", "-bin", t.TempDir(), "-dir", t.TempDir()}, "run 'make build'",
		},
	} {
		t.Run(name, func(t *testing.T) {
			var out, errs bytes.Buffer
			err := run(t.Context(), test.args, &out, &errs)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error = %v, want one that says %q", err, test.want)
			}
		})
	}
}
