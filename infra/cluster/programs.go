package cluster

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// The versions that the modules pin; Knative asks the API server for its own, which is stamped at link time.
const (
	kubernetesVersion = "v1.35.4"
	knativeVersion    = "v0.50.0"
)

// module is one Go module below mod/ and the programs that are built from it.
type module struct {
	name     string
	ldflags  string
	programs map[string]string // program → package
}

const versionPackage = "k8s.io/component-base/version"

func modules() []module {
	k8s := module{
		name: "k8s", programs: map[string]string{},
		ldflags: fmt.Sprintf("-X %[1]s.gitVersion=%[2]s -X %[1]s.gitMajor=1 -X %[1]s.gitMinor=%[3]s -X %[1]s.gitTreeState=clean -X %[1]s.gitCommit=none",
			versionPackage, kubernetesVersion, strings.Split(kubernetesVersion, ".")[1]),
	}
	for _, p := range []string{"kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "kubelet", "kubectl"} {
		k8s.programs[p] = "k8s.io/kubernetes/cmd/" + p
	}
	kn := module{name: "kn", programs: map[string]string{"dns": "./dns", "ingress": "./ingress", "pause": "./pause", "hello": "./hello"}}
	maps.Copy(kn.programs, knativeImages)
	return []module{{name: "etcd", programs: map[string]string{"etcd": "."}}, k8s, kn}
}

// Build builds every program that is not there yet. What is built is kept under a key made of the module's pins and sources, so
// that a change of either builds anew and nothing else does.
func (l Layout) Build(ctx context.Context, out io.Writer) error {
	for _, m := range modules() {
		dir, err := l.programDir(m)
		if err != nil {
			return err
		}
		if _, err := os.Stat(filepath.Join(dir, "done")); err == nil {
			continue
		}
		began := time.Now()
		_, _ = fmt.Fprintf(out, "building %s, once (minutes)\n", m.name)
		if err := l.build(ctx, m, dir); err != nil {
			return err
		}
		_, _ = fmt.Fprintf(out, "built %s in %v\n", m.name, time.Since(began).Round(time.Second))
	}
	return nil
}

func (l Layout) build(ctx context.Context, m module, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // programs are for everybody
		return fmt.Errorf("folder of the programs: %w", err)
	}
	// One program after the other: linking several of these at once takes more memory than a small machine has.
	for _, name := range sortedKeys(m.programs) {
		//nolint:gosec // the arguments are this package's own
		cmd := exec.CommandContext(ctx, "go", "build", "-mod=readonly", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w "+m.ldflags,
			"-o", filepath.Join(dir, name), m.programs[name])
		cmd.Dir = filepath.Join(l.Mod, m.name)
		cmd.Env = append(os.Environ(), "GOWORK=off", "CGO_ENABLED=0", "GOFLAGS=")
		if b, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("building %s: %w\n%s", name, err, lastLines(b, 20))
		}
	}
	if m.name == "kn" {
		if err := l.cutManifests(ctx, filepath.Join(dir, "manifests")); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(dir, "done"), nil, 0o644) //nolint:gosec // as above
}

// programDir is where the programs of a module in its present state are kept.
func (l Layout) programDir(m module) (string, error) {
	h := sha256.New()
	goVersion, err := exec.Command("go", "env", "GOVERSION", "GOARCH").Output() //nolint:noctx // it answers at once
	if err != nil {
		return "", fmt.Errorf("go: %w", err)
	}
	_, _ = fmt.Fprintf(h, "%s %s %v\n", goVersion, m.ldflags, m.programs) // a hash never fails; maps are printed in order
	root := os.DirFS(filepath.Join(l.Mod, m.name))
	err = fs.WalkDir(root, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := fs.ReadFile(root, path)
		_, _ = fmt.Fprintf(h, "%s %d\n%s", path, len(b), b)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("module %s: %w", m.name, err)
	}
	return filepath.Join(l.Root, "programs", m.name+"-"+hex.EncodeToString(h.Sum(nil))[:16]), nil
}

// program is the path of a built program.
func (l Layout) program(name string) (string, error) {
	for _, m := range modules() {
		if _, ok := m.programs[name]; !ok {
			continue
		}
		dir, err := l.programDir(m)
		if err != nil {
			return "", err
		}
		return filepath.Join(dir, name), nil
	}
	return "", errors.New("no program " + name)
}

// manifestDir is where the manifests of Knative are, beside the programs that they start.
func (l Layout) manifestDir() (string, error) {
	hello, err := l.program("hello") // any of the module
	return filepath.Join(filepath.Dir(hello), "manifests"), err
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func lastLines(b []byte, n int) string {
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
