package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// Each step of "A function in a cluster" in docs/extend.md, for each function that there is.
func TestEachFunctionHasWhatTheDocumentationAsksFor(t *testing.T) {
	inRoot(t)
	dirs, err := filepath.Glob("functions/*/main.go")
	if err != nil || len(dirs) == 0 {
		t.Fatalf("no functions: %v", err)
	}
	makefile, guide := read(t, "Makefile"), read(t, "docs/extend.md")
	for _, dir := range dirs {
		name := filepath.Base(filepath.Dir(dir))
		t.Run(name, func(t *testing.T) {
			if packages[name] != "./functions/"+name {
				t.Errorf("it has no image: packages of infra/k8s/cmd/images does not name it")
			}
			if !regexp.MustCompile(`(?m)^(FUNCTIONS|EXAMPLES) +:=.*\b` + name + `\b`).MatchString(makefile) {
				t.Errorf("make build does not build it: FUNCTIONS or EXAMPLES in the Makefile")
			}
			manifest, in := manifestOf(t, name)
			if manifest == "" {
				t.Fatalf("it has no Knative Service: infra/k8s/base/functions/%[1]s.yaml or infra/k8s/components/%[1]s/function/%[1]s.yaml", name)
			}
			if !strings.Contains(read(t, filepath.Join(in, "kustomization.yaml")), "  - "+name+".yaml") {
				t.Errorf("%s is in no kustomization", manifest)
			}
			calls := regexp.MustCompile(`tidegate\.io/calls: (\w+)`).FindStringSubmatch(read(t, manifest))
			if calls == nil {
				t.Fatalf("%s does not say whom it calls: label tidegate.io/calls", manifest)
			}
			if !opened(t, calls[1]) {
				t.Errorf("no network policy opens anything to tidegate.io/calls: %s", calls[1])
			}
			if _, err := os.Stat("eventing/manifests/" + name + ".yaml"); handlesEvents(t, name) != (err == nil) {
				t.Errorf("it handles events: %v, it has Triggers: %v; they belong together, in eventing/manifests/%s.yaml", handlesEvents(t, name), err == nil, name)
			}
		})
	}
	for _, step := range []string{
		"functions/<name>/", "infra/k8s/cmd/images", ".ko.yaml", "infra/k8s/base/functions/<name>.yaml", "tidegate.io/calls", "eventing/manifests/<name>.yaml",
		"eventing/catalogue", "infra/k8s/internal/lines", "common/kustomization.yaml",
	} {
		if !strings.Contains(guide, step) {
			t.Errorf("docs/extend.md does not name %s", step)
		}
	}
}

// Who has a registry builds the same programs by ko.
func TestKoBuildsTheSameProgramsInTheSameWay(t *testing.T) {
	inRoot(t)
	var ko struct {
		DefaultEnv       []string
		DefaultPlatforms []string
		Builds           []struct {
			ID, Dir, Main  string
			Flags, Ldflags []string
		}
	}
	if err := yaml.Unmarshal([]byte(read(t, ".ko.yaml")), &ko); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(ko.DefaultEnv, []string{"CGO_ENABLED=0"}) || !slices.Equal(ko.DefaultPlatforms, []string{"linux/amd64", "linux/arm64"}) {
		t.Errorf("environment %v, platforms %v", ko.DefaultEnv, ko.DefaultPlatforms)
	}
	built := map[string]bool{}
	for _, b := range ko.Builds {
		built[b.ID] = true
		if pkg := "./" + filepath.Join(b.Dir, b.Main); packages[b.ID] != pkg {
			t.Errorf("%s is built of %s, and by make images of %s", b.ID, pkg, packages[b.ID])
		}
		flags := strings.Join(append(b.Flags, b.Ldflags...), " ")
		for _, want := range []string{"-trimpath", "-s -w", "shared/version.Version={{.Env.VERSION}}", "shared/version.Commit={{.Git.FullCommit}}"} {
			if !strings.Contains(flags, want) {
				t.Errorf("%s: flags %q without %q", b.ID, flags, want)
			}
		}
	}
	for p := range packages {
		if !built[p] && p != "sandbox" { // for development alone
			t.Errorf("ko does not build %s", p)
		}
	}
}

// manifestOf finds the function's Knative Service, and the folder of its kustomization.
func manifestOf(t *testing.T, name string) (file, dir string) {
	t.Helper()
	for _, dir := range []string{"infra/k8s/base/functions", "infra/k8s/components/" + name + "/function"} {
		if _, err := os.Stat(filepath.Join(dir, name+".yaml")); err == nil {
			return filepath.Join(dir, name+".yaml"), dir
		}
	}
	return "", ""
}

func opened(t *testing.T, calls string) bool {
	t.Helper()
	files, err := filepath.Glob("infra/k8s/components/*/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if text := read(t, f); strings.Contains(text, "kind: NetworkPolicy") && strings.Contains(text, "tidegate.io/calls: "+calls) {
			return true
		}
	}
	return false
}

func handlesEvents(t *testing.T, name string) bool {
	t.Helper()
	files, err := filepath.Glob("functions/" + name + "/*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !strings.HasSuffix(f, "_test.go") && strings.Contains(read(t, f), ".HandleEvents(") {
			return true
		}
	}
	return false
}

func read(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
