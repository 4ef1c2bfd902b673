package clustertest

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// overlay is a copy of the overlay dev, in which tenants are given lines by the program behind 'make tenant' and 'make manifests'.
type overlay struct{ dir string }

func newOverlay(t *testing.T) overlay {
	t.Helper()
	overlays := filepath.Join("infra", "k8s", "overlays")
	dir, err := os.MkdirTemp(overlays, ".test-") //nolint:usetesting // its base is named from there
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(overlays, "dev"))); err != nil {
		t.Fatal(err)
	}
	o := overlay{dir}
	// Lines of the developer's own are in the kustomization too: this test wants the overlay as it is in the repository.
	if _, err := os.Stat(o.path("lines")); err == nil {
		t.Fatal("the overlay dev has lines: take them away with make tenant REMOVE=1 before the test")
	}
	return o
}

func (o overlay) path(parts ...string) string {
	return filepath.Join(append([]string{o.dir}, parts...)...)
}

// moveConsumer gives the consumer a line: its document, and the secrets that it names, are the shared functions' no more.
func (o overlay) moveConsumer(t *testing.T) {
	t.Helper()
	replace(t, o.path("kustomization.yaml"), "tenants/provider.yaml, tenants/consumer.yaml", "tenants/provider.yaml")
	replace(t, o.path("kustomization.yaml"), ", secrets/consumer-app, secrets/consumer-cp, secrets/consumer-s3]", "]")
	o.addLine(t, line)
}

// addLine gives a tenant a line whose document is the consumer's, under its own name.
func (o overlay) addLine(t *testing.T, name string) {
	t.Helper()
	b, err := os.ReadFile(o.path("tenants", "consumer.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	doc := filepath.Join(t.TempDir(), name+".yaml")
	text := strings.ReplaceAll("line: consumer\n"+string(b), "consumer", name)
	if err := os.WriteFile(doc, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"tenant", "-overlay", o.dir, "-name", name, "-doc", doc}
	for _, of := range []string{"app", "cp", "s3"} {
		secret, err := os.ReadFile(o.path("secrets", "consumer-"+of))
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(filepath.Dir(doc), name+"-"+of)
		if err := os.WriteFile(file, secret, 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, file)
	}
	k8sTool(t, args...)
}

// render returns the overlay's manifests and those of each line.
func (o overlay) render(t *testing.T) (shared string, lines map[string]string) {
	t.Helper()
	out := t.TempDir()
	k8sTool(t, "render", "-out", out, o.dir)
	base := filepath.Join(out, filepath.Base(o.dir))
	b, err := os.ReadFile(base + ".yaml")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(base+".lines", "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	lines = map[string]string{}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		lines[strings.TrimSuffix(filepath.Base(file), ".yaml")] = string(b)
	}
	return string(b), lines
}

// replace changes a file at the one place that is expected.
func replace(t *testing.T, file, old, now string) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(b), old); n != 1 {
		t.Fatalf("%s holds %q %d times", file, old, n)
	}
	if err := os.WriteFile(file, []byte(strings.Replace(string(b), old, now, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
}

func k8sTool(t *testing.T, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), longest)
	defer cancel()
	if out, err := exec.CommandContext(ctx, filepath.Join("bin", "k8s-tool"), args...).CombinedOutput(); err != nil {
		t.Fatalf("k8s-tool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}
