package tenant_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/shared/tenant"
)

// Whatever lines the tenants are on, each is tended by the functions of exactly one, and an event of it finds the tenant at those and
// at the shared ones, where it may still arrive when the tenant has just got its own.
func TestEachTenantIsTendedByOneLine(t *testing.T) {
	lines := []string{"", "acme", "blue", "c-1"}
	rapid.Check(t, func(r *rapid.T) {
		dir, err := os.MkdirTemp(t.TempDir(), "") //nolint:usetesting // each drawn case has a folder of its own
		if err != nil {
			r.Fatal(err)
		}
		of := map[string]string{}
		for _, id := range rapid.SliceOfNDistinct(rapid.StringMatching(`[a-z][a-z0-9]{0,8}`), 1, 6, rapid.ID).Draw(r, "tenants") {
			of[id] = rapid.SampledFrom(lines).Draw(r, "line of "+id)
			text := document(id)
			if of[id] != "" {
				text += "line: " + of[id] + "\n"
			}
			if err := os.WriteFile(filepath.Join(dir, id+".yaml"), []byte(text), 0o600); err != nil {
				r.Fatal(err)
			}
		}
		tended := map[string][]string{}
		for _, line := range lines {
			reg := open(t, dir)
			reg.Serve(line)
			for _, tn := range reg.All() {
				tended[tn.ParticipantContextID] = append(tended[tn.ParticipantContextID], line)
			}
			for id, its := range of {
				if _, found := reg.Get(id); found != (line == "" || its == line) {
					r.Errorf("%s of line %q: found %v by line %q", id, its, found, line)
				}
			}
		}
		want := map[string][]string{}
		for id, line := range of {
			want[id] = []string{line}
		}
		if diff := cmp.Diff(want, tended); diff != "" {
			r.Errorf("tended (-want +got):\n%s", diff)
		}
	})
}

// A ConfigMap's new content comes by one swap of a link, and a tenant changes its line while all runs.
func TestATenantGetsItsOwnLineBySwapOfAConfigMap(t *testing.T) {
	dir := t.TempDir()
	version := func(name string, docs map[string]string) {
		t.Helper()
		sub := filepath.Join(dir, name)
		if err := os.Mkdir(sub, 0o750); err != nil {
			t.Fatal(err)
		}
		for file, text := range docs {
			if err := os.WriteFile(filepath.Join(sub, file), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Lstat(filepath.Join(dir, file)); err != nil {
				if err := os.Symlink(filepath.Join("..data", file), filepath.Join(dir, file)); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := os.Symlink(name, filepath.Join(dir, "..data_tmp")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	version("..1", map[string]string{"a.yaml": document("a"), "b.yaml": document("b")})
	shared, own := open(t, dir), open(t, dir)
	shared.Serve("")
	own.Serve("blue")
	tended := func(r *tenant.Registry) string {
		var out []string
		for _, tn := range r.All() {
			out = append(out, tn.ParticipantContextID)
		}
		return strings.Join(out, " ")
	}
	if got := tended(shared) + "|" + tended(own); got != "a b|" {
		t.Fatalf("tended %q", got)
	}
	version("..2", map[string]string{"a.yaml": document("a"), "b.yaml": document("b") + "line: blue\n", "c.yaml": document("c")})
	for _, r := range []*tenant.Registry{shared, own} {
		if !reload(t, r) {
			t.Error("the swap was not seen")
		}
	}
	if got := tended(shared) + "|" + tended(own); got != "a c|b" {
		t.Errorf("after the swap tended %q", got)
	}
	for name, d := range map[string]string{"upper case": "Blue", "too long": strings.Repeat("x", 25), "a hyphen last": "blue-", "a digit first": "1x"} {
		file := filepath.Join(t.TempDir(), "x.yaml")
		if err := os.WriteFile(file, []byte(document("x")+"line: "+d+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := tenant.Load(file); err == nil || !strings.Contains(err.Error(), "line: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
