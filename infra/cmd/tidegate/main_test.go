package main

import (
	"bytes"
	"context"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/infra/internal/local"
)

// TestWhatIsWrongIsSaidInOneLineAndNothingIsStarted prepares a folder, breaks one thing in it, and runs it.
func TestWhatIsWrongIsSaidInOneLineAndNothingIsStarted(t *testing.T) {
	provider := func(l local.Layout) string { return filepath.Join(l.Tenants(), "provider.yaml") }
	tests := map[string]struct {
		spoil func(t *testing.T, l local.Layout)
		args  []string
		want  []string // all in one line
	}{
		"a tenant's document that can't be read as YAML": {
			spoil: func(t *testing.T, l local.Layout) {
				t.Helper()
				replace(t, provider(l), "bpn: BPNL00000000PROV", "bpn: [BPNL")
			},
			want: []string{"provider.yaml:", "can't be parsed: ',' or ']' must be specified"},
		},
		"a member that is none": {
			spoil: func(t *testing.T, l local.Layout) {
				t.Helper()
				replace(t, provider(l), "  default: reject", "  defolt: reject")
			},
			want: []string{"provider.yaml:46: approve.defolt: "},
		},
		"a rule with a variable that does not exist": {
			spoil: func(t *testing.T, l local.Layout) {
				t.Helper()
				replace(t, provider(l), "counterparty.id ==", "partner.id ==")
			},
			want: []string{"provider.yaml:53: approve.rules[1].when: ", "undeclared reference to 'partner'"},
		},
		"a rule that is no CEL": {
			spoil: func(t *testing.T, l local.Layout) {
				t.Helper()
				replace(t, provider(l), "counterparty.id == 'did:web:consumer.example'", "counterparty.id ==")
			},
			want: []string{"provider.yaml:53: approve.rules[1].when: ", "Syntax error"},
		},
		"a secret that is not there": {
			spoil: func(t *testing.T, l local.Layout) {
				t.Helper()
				replace(t, provider(l), "secrets/provider-app", "secrets/nothing-here")
			},
			want: []string{"provider.yaml:", "auth.clientSecretFile: ", "no such file"},
		},
		"a bucket that is no folder": {
			spoil: func(t *testing.T, l local.Layout) {
				t.Helper()
				file := filepath.Join(l.Dir, "file")
				if err := os.WriteFile(file, nil, 0o600); err != nil {
					t.Fatal(err)
				}
				replace(t, provider(l), "file://"+l.Outbox, "file://"+file)
			},
			want: []string{"provider.yaml:", "buckets[0].url: ", "folder"},
		},
		"a folder of a bucket that is not there": {
			args: []string{"-outbox", "/no/such/folder"},
			want: []string{"-outbox /no/such/folder: "},
		},
		"a port in use": {
			spoil: func(t *testing.T, l local.Layout) {
				t.Helper()
				ln, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(l.BasePort+2)))
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = ln.Close() })
			},
			want: []string{"(for broker) is in use", "-port"},
		},
		"a port that is none": {args: []string{"-port", "80"}, want: []string{"-port 80: a number from 1024 "}},
		"programs that are not built": {
			args: []string{"-bin", "/no/such/folder"},
			want: []string{"program sandbox is not built: run 'make build'"},
		},
		"an argument too many": {args: []string{"now"}, want: []string{`unexpected argument "now"`}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			port, err := local.FreeBasePort()
			if err != nil {
				t.Fatal(err)
			}
			layout, err := local.NewLayout(dir, port, "", "")
			if err != nil {
				t.Fatal(err)
			}
			bin := programs(t)
			if _, err := local.Prepare(layout, bin); err != nil {
				t.Fatal(err)
			}
			if tt.spoil != nil {
				tt.spoil(t, layout)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			var stdout, stderr bytes.Buffer
			args := append([]string{"run", "-dir", dir, "-port", strconv.Itoa(port), "-bin", bin}, tt.args...)
			if code := tidegate(ctx, args, &stdout, &stderr); code != 1 {
				t.Errorf("exit code %d, want 1; it said %s%s", code, &stdout, &stderr)
			}
			said := strings.TrimSpace(stderr.String())
			if strings.Contains(said, "\n") {
				t.Errorf("it said more than one line:\n%s", said)
			}
			for _, want := range tt.want {
				if !strings.Contains(said, want) {
					t.Errorf("it said  %s\nwithout  %s", said, want)
				}
			}
			if logs, err := filepath.Glob(filepath.Join(layout.Logs(), "*.log")); err != nil || len(logs) > 0 {
				t.Errorf("programs were started: %v %v", logs, err)
			}
		})
	}
}

func TestAWrongCallExplainsTheUsage(t *testing.T) {
	for name, args := range map[string][]string{"no subcommand": nil, "another subcommand": {"fly"}} {
		t.Run(name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			if code := tidegate(t.Context(), args, &stdout, &stderr); code != 2 || !strings.Contains(stderr.String(), "usage: tidegate run") {
				t.Errorf("exit code %d, %s", code, &stderr)
			}
		})
	}
	var stdout, stderr bytes.Buffer
	if code := tidegate(t.Context(), []string{"run", "-h"}, &stdout, &stderr); code != 0 || !strings.Contains(stdout.String(), "-outbox") {
		t.Errorf("run -h: exit code %d, %s", code, &stdout)
	}
}

func TestADemoOfFilesThatAreNotThereLeavesNothingBehind(t *testing.T) {
	temp, empty := t.TempDir(), t.TempDir()
	t.Setenv("TMPDIR", temp)
	for files, want := range map[string]string{"/no/such/folder": "no such file", empty: "holds no file"} {
		var stdout, stderr bytes.Buffer
		if code := tidegate(t.Context(), []string{"demo", "-files", files}, &stdout, &stderr); code != 1 || !strings.Contains(stderr.String(), want) {
			t.Errorf("exit code %d, %s%s", code, &stdout, &stderr)
		}
	}
	if left, err := filepath.Glob(filepath.Join(temp, "tidegate-demo-*")); err != nil || len(left) > 0 {
		t.Errorf("it left %v, %v", left, err)
	}
}

func programs(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../../../bin")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "dps-gateway")); err != nil {
		t.Fatalf("the programs are not built: run 'make build' first (%v)", err)
	}
	return dir
}

func replace(t *testing.T, file, old, with string) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(b), old) {
		t.Fatalf("%s does not hold %q", file, old)
	}
	if err := os.WriteFile(file, []byte(strings.Replace(string(b), old, with, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
}
