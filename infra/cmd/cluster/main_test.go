package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestCommandLine(t *testing.T) {
	for _, tc := range []struct {
		name string
		args []string
		want string // of the error; "" = none
		out  string
	}{
		{"no command", nil, `command "": up, down, exec, load or missing is expected`, ""},
		{"an unknown command", []string{"start"}, `command "start"`, ""},
		{"exec of nothing", []string{"exec"}, "exec: a command is expected", ""},
		{"exec without a cluster", []string{"exec", "true"}, "no cluster is up", ""},
		{"down without a cluster", []string{"down"}, "", "no cluster is up"},
		{"load without a cluster", []string{"load", "image.tar"}, "no cluster is up", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var out, notes bytes.Buffer
			err := run(t.Context(), append([]string{"-dir", t.TempDir()}, tc.args...), &out, &notes)
			if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("the error is %v, want %q", err, tc.want)
			}
			if !strings.Contains(out.String(), tc.out) {
				t.Errorf("the output is %q, want %q", out.String(), tc.out)
			}
		})
	}
}
