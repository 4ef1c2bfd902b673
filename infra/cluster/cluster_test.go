package cluster

import (
	"archive/tar"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func layout(t *testing.T) Layout {
	t.Helper()
	l, err := NewLayout(t.TempDir(), "mod")
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{l.run("pid"), filepath.Join(l.Root, "log")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

func TestWhatIsLeftBehindIsNamed(t *testing.T) {
	before := Host{
		Sysctls: map[string]string{"vm/overcommit_memory": "0"}, Mounts: []string{"/"}, Links: []string{"/sys/class/net/lo"},
	}
	for _, tc := range []struct {
		name   string
		change func(*Host)
		want   []string
	}{
		{"nothing has changed", func(*Host) {}, nil},
		{"less is there than before", func(h *Host) { h.Mounts = nil }, nil},
		{"a setting", func(h *Host) { h.Sysctls = map[string]string{"vm/overcommit_memory": "1"} }, []string{"setting vm/overcommit_memory is 1, was 0"}},
		{"a mount", func(h *Host) { h.Mounts = []string{"/", "/run/netns/x"} }, []string{"mount /run/netns/x"}},
		{"a rule", func(h *Host) { h.Rules = []string{"-A KUBE-SERVICES"} }, []string{"rule of iptables -A KUBE-SERVICES"}},
		{"a process and a link", func(h *Host) { h.Processes = []string{"kubelet"}; h.Links = append(h.Links, "/sys/class/net/cni0") }, []string{"network interface /sys/class/net/cni0", "process kubelet"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			now := before
			tc.change(&now)
			if diff := cmp.Diff(tc.want, before.Left(now)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAProgramIsEndedByItsIDAndNobodyElse(t *testing.T) {
	l := layout(t)
	if err := l.startProcess("sleeper", "sleep", "1000"); err != nil {
		t.Fatal(err)
	}
	p, err := l.readPID("sleeper")
	if err != nil {
		t.Fatal(err)
	}
	other := process{p.id, "1"} // somebody who got the same id at another time
	if err := other.stop(t.Context(), time.Second); err != nil || !p.alive() {
		t.Fatalf("a stranger's stop: %v, alive %t", err, p.alive())
	}
	if err := l.stopProcess(t.Context(), "sleeper", 5*time.Second); err != nil {
		t.Fatal(err)
	}
	if p.alive() {
		t.Fatal("it is still there")
	}
	if err := l.stopProcess(t.Context(), "sleeper", time.Second); err != nil {
		t.Errorf("ending what has ended: %v", err)
	}
}

func TestAProgramThatIgnoresSIGTERMIsKilled(t *testing.T) {
	l := layout(t)
	if err := l.startProcess("stubborn", "sh", "-c", `trap "" TERM; echo ready; while :; do sleep 0.1; done`); err != nil {
		t.Fatal(err)
	}
	p, err := l.readPID("stubborn")
	if err != nil {
		t.Fatal(err)
	}
	if err := wait(t.Context(), 5*time.Second, func() error {
		b, err := os.ReadFile(l.log("stubborn"))
		if err == nil && !bytes.Contains(b, []byte("ready")) {
			err = errors.New("the trap is not set")
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if err := l.stopProcess(t.Context(), "stubborn", 300*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if err := wait(t.Context(), 5*time.Second, func() error {
		if p.alive() {
			return errors.New("it is still there")
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

func TestManifestsNameOurImages(t *testing.T) {
	in := `image: ko://knative.dev/serving/cmd/queue
image: ko://knative.dev/eventing/cmd/unknown
requests:
  cpu: 300m
`
	want := `image: dev.local/serving-queue:v0.50.0
image: dev.local/unknown:v0.50.0
requests:
  cpu: 10m
`
	if diff := cmp.Diff(want, adapt(in, true)); diff != "" {
		t.Error(diff)
	}
	if got := adapt(in, false); !strings.Contains(got, "300m") {
		t.Error("only deployments ask for less CPU")
	}
}

func TestImageOfAProgramNamesWhatItHolds(t *testing.T) {
	program := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(program, []byte("binary"), 0o755); err != nil {
		t.Fatal(err)
	}
	var archive bytes.Buffer
	if err := writeArchive(&archive, "dev.local/program:1", program); err != nil {
		t.Fatal(err)
	}
	files := untar(t, archive.Bytes())
	var manifest []struct {
		Config   string
		RepoTags []string
		Layers   []string
	}
	if err := json.Unmarshal(files["manifest.json"], &manifest); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"dev.local/program:1"}, manifest[0].RepoTags); diff != "" {
		t.Error(diff)
	}
	var config struct {
		Config struct{ Entrypoint []string }
		Rootfs struct {
			DiffIDs []string `json:"diff_ids"`
		}
	}
	if err := json.Unmarshal(files[manifest[0].Config], &config); err != nil {
		t.Fatal(err)
	}
	layer := files[manifest[0].Layers[0]]
	if got := untar(t, layer)[strings.TrimPrefix(config.Config.Entrypoint[0], "/")]; string(got) != "binary" {
		t.Errorf("the entry point holds %q", got)
	}
	if want := "sha256:" + hexSum(layer); config.Rootfs.DiffIDs[0] != want {
		t.Errorf("the layer is %s, the configuration says %s", want, config.Rootfs.DiffIDs[0])
	}
}

func untar(t *testing.T, b []byte) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	r := tar.NewReader(bytes.NewReader(b))
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if files[h.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTheAPIServersCertificateServesAllItsNamesAndKubeconfigsAreAccepted(t *testing.T) {
	l := layout(t)
	if err := l.writePKI(); err != nil {
		t.Fatal(err)
	}
	pem, err := os.ReadFile(l.pki("ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	server, err := tls.LoadX509KeyPair(l.pki("apiserver.crt"), l.pki("apiserver.key"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"127.0.0.1", apiService, nodeIP, "kubernetes.default.svc"} {
		if _, err := server.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: name}); err != nil {
			t.Error(err)
		}
	}
	admin, err := tls.LoadX509KeyPair(l.pki("admin.crt"), l.pki("admin.key"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := admin.Leaf.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
		t.Error(err)
	}
	if b, err := os.ReadFile(l.Kubeconfig()); err != nil || !strings.Contains(string(b), net.JoinHostPort("127.0.0.1", apiPort)) {
		t.Errorf("kubeconfig: %s, %v", b, err)
	}
}

func TestTemplatesOfTheNodeAreFilled(t *testing.T) {
	l := layout(t)
	values := map[string]any{
		"Run": "R", "Socket": "S", "State": "T", "Runc": "U", "NodeIP": nodeIP, "PodCIDR": nodePodCIDR, "Domain": domain, "Pause": "P", "PKI": "K",
		"Port": "1", "Dir": "D", "Names": []string{"1", "2"}, "Node": nodeName,
	}
	entries, err := files.ReadDir("files")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		to := l.run(e.Name())
		if err := writeTemplate(e.Name(), to, values); err != nil {
			t.Error(err)
		}
		if b, err := os.ReadFile(to); err != nil || bytes.Contains(b, []byte("{{")) || bytes.Contains(b, []byte("<no value>")) {
			t.Errorf("%s: %s, %v", e.Name(), b, err)
		}
	}
}

func TestAChangedModuleIsBuiltAnew(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("needs the program go")
	}
	l, err := NewLayout(t.TempDir(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	m := module{name: "m", programs: map[string]string{"p": "."}}
	dir := filepath.Join(l.Mod, "m")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	keys := map[string]bool{}
	for _, pin := range []string{"v1", "v1", "v2"} {
		if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte(pin), 0o644); err != nil {
			t.Fatal(err)
		}
		key, err := l.programDir(m)
		if err != nil {
			t.Fatal(err)
		}
		keys[key] = true
	}
	if len(keys) != 2 {
		t.Errorf("two states of a module have the keys %v", keys)
	}
}
