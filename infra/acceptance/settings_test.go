package acceptance

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// setting is a variable that a program can't do without.
type setting struct {
	name, good string
	wrong      string // "" if any value will do
}

// settingsOf are the required settings of each program, in the files and folders of dir. What is a file or folder is wrong if it is not there.
func settingsOf(dir string) map[string][]setting {
	file := func(name, of string) setting {
		return setting{name, filepath.Join(dir, of), filepath.Join(dir, "nothing-here")}
	}
	url := func(name string) setting { return setting{name, "http://127.0.0.1:1", "nowhere"} }
	function := []setting{url("GATEWAY_URL"), file("INTERNAL_TOKEN_FILE", "secret"), file("TENANTS_DIR", "folder")}
	all := map[string][]setting{
		"dps-gateway": {
			url("SIGNALING_URL"), url("PUBLIC_URL"), url("K_SINK"), url("APPROVER_URL"), url("DATA_SERVER_URL"),
			{"REDIS_URL", "redis://127.0.0.1:1/0", "127.0.0.1:1"},
			file("TENANTS_DIR", "folder"), file("INTERNAL_TOKEN_FILE", "secret"), file("CONTROLPLANE_KEY_FILE", "secret"),
			{"SIGNING_KEY_FILE", filepath.Join(dir, "key.pem"), filepath.Join(dir, "secret")},
		},
		// The transfer profile needs no tenants' documents, so it doesn't look for them.
		"nats-stream": append(slices.Clone(function[:2]), setting{"TENANTS_DIR", filepath.Join(dir, "folder"), ""},
			setting{"NATS_URL", "nats://127.0.0.1:1", "nowhere"}, file("NATS_ACCOUNTS_DIR", "folder")),
		"local-broker": {
			file("MANIFESTS_DIRS", "folder"), file("INTERNAL_TOKEN_FILE", "secret"),
			{"SUBSCRIBERS", "a=http://127.0.0.1:1", "a"},
			{"DATA_DIR", filepath.Join(dir, "folder"), filepath.Join(dir, "secret", "below-a-file")},
		},
		"sandbox": {{"SANDBOX_CONFIG", "", ""}},
	}
	for _, f := range []string{"bucket-events", "asset-publisher", "negotiation-approver", "subscription-manager", "transfer-puller", "transfer-pusher", "data-server"} {
		all[f] = function
	}
	all["bucket-events"] = append(slices.Clone(function), setting{"K_SINK", "http://127.0.0.1:1", "nowhere"})
	return all
}

// A pod whose settings are not whole says which is missing or wrong, ends, and serves nothing.
func TestEachProgramNamesTheSettingThatIsMissingOrWrong(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "secret"), []byte("a-secret-of-the-acceptance-tests"), 0o600); err != nil {
		t.Fatal(err)
	}
	for program, settings := range settingsOf(dir) {
		for i, s := range settings {
			for how, value := range map[string]string{"missing": "", "wrong": s.wrong} {
				if how == "wrong" && s.wrong == "" {
					continue
				}
				t.Run(program+" with "+s.name+" "+how, func(t *testing.T) {
					env := append(fleetEnv(), "PORT=0", "HOST=127.0.0.1", "ALLOW_PLAIN_HTTP=true",
						"SIGNALING_ADDR=127.0.0.1:0", "PUBLIC_ADDR=127.0.0.1:0", "INTERNAL_ADDR=127.0.0.1:0", "METRICS_ADDR=127.0.0.1:0")
					for j, other := range settings {
						if j != i {
							env = append(env, other.name+"="+other.good)
						}
					}
					if value != "" {
						env = append(env, s.name+"="+value)
					}
					ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
					defer cancel()
					cmd := exec.CommandContext(ctx, filepath.Join(binDir(t), program))
					var said bytes.Buffer
					cmd.Env, cmd.Stdout, cmd.Stderr = env, &said, &said
					err := cmd.Run()
					if ctx.Err() != nil {
						t.Fatalf("it goes on: %s", said.String())
					}
					if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) {
						t.Errorf("it ends with %v", err)
					}
					lines := strings.Split(strings.TrimSpace(said.String()), "\n")
					if last := lines[len(lines)-1]; !strings.Contains(last, s.name) {
						t.Errorf("its last line does not name %s: %s", s.name, said.String())
					}
				})
			}
		}
	}
}

func TestEachProgramTellsItsVersion(t *testing.T) {
	programs, err := filepath.Glob(filepath.Join("../../functions", "*", "main.go"))
	if err != nil || len(programs) == 0 {
		t.Fatalf("no functions: %v", err)
	}
	for i, p := range programs {
		programs[i] = filepath.Base(filepath.Dir(p))
	}
	for _, p := range append(programs, "dps-gateway", "local-broker", "sandbox", "tidegate") {
		out, err := exec.CommandContext(t.Context(), filepath.Join(binDir(t), p), "--version").Output()
		if fields := strings.Fields(string(out)); err != nil || len(fields) != 5 || fields[0] != p || !strings.HasPrefix(fields[3], "(go1.") {
			t.Errorf("%s --version: %v: %q, want its name, release, commit and what it was built with", p, err, out)
		}
	}
}
