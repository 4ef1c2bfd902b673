package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const root = "../.."

// copyInput makes a folder with what the generator reads.
func copyInput(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, sub := range []string{"catalogue", "manifests"} {
		if err := os.CopyFS(filepath.Join(dir, sub), os.DirFS(filepath.Join(root, sub))); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestCheckTellsWhatIsOutOfDateAndGeneratingMendsIt(t *testing.T) {
	dir := copyInput(t)
	schema := filepath.Join(dir, "catalogue/schemas/io.tidegate.object.created.v1.schema.json")
	stray := filepath.Join(dir, "catalogue/schemas/io.tidegate.object.gone.v1.schema.json")
	faults := []struct {
		name string
		make func() error
		want string
	}{
		{"a document that is missing", func() error { return nil }, "asyncapi.yaml is out of date"},
		{"a schema edited by hand", func() error { return os.WriteFile(schema, []byte("{}"), 0o600) }, "object.created.v1.schema.json is out of date"},
		{"a schema of no type", func() error { return os.WriteFile(stray, []byte("{}"), 0o600) }, "object.gone.v1.schema.json belongs to no type"},
	}
	for _, f := range faults {
		if err := f.make(); err != nil {
			t.Fatal(err)
		}
		if err := run(dir, true); err == nil || !strings.Contains(err.Error(), f.want) {
			t.Errorf("%s: got %v, want %q", f.name, err, f.want)
		}
		if err := run(dir, false); err != nil {
			t.Fatal(err)
		}
		if err := run(dir, true); err != nil {
			t.Errorf("%s: after generating: %v", f.name, err)
		}
	}
}
