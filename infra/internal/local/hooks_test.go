package local

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestAFunctionRunsIfATenantNamesIt: what no tenant names costs nothing, and what one names is found by the gateway and the broker.
func TestAFunctionRunsIfATenantNamesIt(t *testing.T) {
	l, err := NewLayout(t.TempDir(), 20000, "", "")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.writeFiles(); err != nil {
		t.Fatal(err)
	}
	programs, err := l.programs()
	if err != nil || !slices.Equal(programs, Functions) {
		t.Fatalf("%v %v", programs, err)
	}
	name := func(file, hooks string) {
		t.Helper()
		doc := filepath.Join(l.Tenants(), file)
		b, err := os.ReadFile(doc)
		if err != nil {
			t.Fatal(err)
		}
		base, _, _ := strings.Cut(string(b), "profiles: ")
		if err := os.WriteFile(doc, []byte(base+"profiles: ["+hooks+"]\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	name("provider.yaml", "{profile: x-pull, hook: nats-stream}, {profile: http-pull, hook: data-server}")
	name("consumer.yaml", "{profile: x-pull, hook: nats-stream}, {profile: y-push, hook: kafka-topic}")
	if programs, err = l.programs(); err != nil || !slices.Equal(programs, slices.Concat(Functions, []string{"kafka-topic", "nats-stream"})) {
		t.Fatalf("%v %v", programs, err)
	}
	at := "nats-stream=" + l.url(portFunctions+len(Functions)+1)
	for what, env := range map[string][]string{"HOOK_URLS=": l.gatewayEnv(programs), "SUBSCRIBERS=": l.brokerEnv(programs)} {
		if !slices.ContainsFunc(env, func(s string) bool { return strings.HasPrefix(s, what) && strings.Contains(s, at) }) {
			t.Errorf("%s does not say %s: %q", what, at, env)
		}
	}
	name("provider.yaml", "{profile: a-pull, hook: a}, {profile: b-pull, hook: b}, {profile: c-pull, hook: c}")
	if _, err := l.programs(); err == nil {
		t.Error("five functions are started")
	}
}

func TestSettingsOfAFunction(t *testing.T) {
	l := Layout{Dir: t.TempDir()}
	if env, err := l.settings("nats-stream"); err != nil || env != nil {
		t.Errorf("without a file: %v %v", env, err)
	}
	if err := os.MkdirAll(l.path("functions"), 0o750); err != nil {
		t.Fatal(err)
	}
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(l.path("functions", "nats-stream.env"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("# where NATS is\n\nNATS_URL=nats://127.0.0.1:4222\nNATS_ACCOUNTS_DIR=/a=b\n")
	if env, err := l.settings("nats-stream"); err != nil || !slices.Equal(env, []string{"NATS_URL=nats://127.0.0.1:4222", "NATS_ACCOUNTS_DIR=/a=b"}) {
		t.Errorf("%v %v", env, err)
	}
	write("NATS_URL=x\nnonsense\n")
	if _, err := l.settings("nats-stream"); err == nil || !strings.Contains(err.Error(), "nats-stream.env:2") {
		t.Errorf("%v", err)
	}
}
