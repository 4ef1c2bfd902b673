package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"crypto/x509"
	"debug/elf"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

const program = "data-server"

// inRoot makes the root of the repository the working directory, as make does.
func inRoot(t *testing.T) {
	t.Helper()
	t.Chdir("../../../..")
	if _, err := os.Stat("go.work"); err != nil {
		t.Fatal(err)
	}
}

// archive is an OCI layout in memory.
type archive map[string][]byte

func readTar(t *testing.T, r io.Reader) (archive, []*tar.Header) {
	t.Helper()
	files, headers := archive{}, []*tar.Header(nil)
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return files, headers
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(tr)
		if err != nil {
			t.Fatal(err)
		}
		files[h.Name] = b
		headers = append(headers, h)
	}
}

func (a archive) blob(t *testing.T, digest string, into any) []byte {
	t.Helper()
	b, ok := a["blobs/sha256/"+strings.TrimPrefix(digest, "sha256:")]
	if sum := sha256.Sum256(b); !ok || "sha256:"+hex.EncodeToString(sum[:]) != digest {
		t.Fatalf("blob %s is missing or another one", digest)
	}
	if into != nil {
		if err := json.Unmarshal(b, into); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

type descriptor struct {
	Digest      string
	Platform    struct{ Architecture, OS string }
	Annotations map[string]string
}

func build(t *testing.T, archs string) (archive, []byte) {
	t.Helper()
	out := t.TempDir()
	if err := run(t.Context(), []string{"-out", out, "-repo", "registry.example/tidegate", "-tag", "v1", "-version", "v1.2.3", "-arch", archs, program}, io.Discard); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(out, program+".tar"))
	if err != nil {
		t.Fatal(err)
	}
	a, _ := readTar(t, bytes.NewReader(b))
	return a, b
}

func TestAnImage(t *testing.T) {
	inRoot(t)
	a, first := build(t, runtime.GOARCH)
	if _, second := build(t, runtime.GOARCH); !bytes.Equal(first, second) {
		t.Error("two builds of one commit differ")
	}
	var top, index struct{ Manifests []descriptor }
	if err := json.Unmarshal(a["index.json"], &top); err != nil || len(top.Manifests) != 1 {
		t.Fatalf("index.json: %v %+v", err, top)
	}
	if got := top.Manifests[0].Annotations; got["io.containerd.image.name"] != "registry.example/tidegate/data-server:v1" || got["org.opencontainers.image.ref.name"] != "v1" {
		t.Errorf("the archive's name: %v", got)
	}
	a.blob(t, top.Manifests[0].Digest, &index)
	if len(index.Manifests) != 1 || index.Manifests[0].Platform.Architecture != runtime.GOARCH || index.Manifests[0].Platform.OS != "linux" {
		t.Fatalf("platforms: %+v", index)
	}
	var manifest struct {
		Config descriptor
		Layers []descriptor
	}
	a.blob(t, index.Manifests[0].Digest, &manifest)
	var config struct {
		Architecture string
		Config       struct {
			User       string
			Entrypoint []string
			Labels     map[string]string
		}
	}
	a.blob(t, manifest.Config.Digest, &config)
	if config.Config.User != "65532:65532" || config.Config.Labels["org.opencontainers.image.version"] != "v1.2.3" || len(config.Config.Labels["org.opencontainers.image.revision"]) < 40 {
		t.Errorf("config: %+v", config)
	}
	root := map[string][]byte{}
	for _, l := range manifest.Layers {
		z, err := gzip.NewReader(bytes.NewReader(a.blob(t, l.Digest, nil)))
		if err != nil {
			t.Fatal(err)
		}
		files, headers := readTar(t, z)
		for _, h := range headers {
			if h.Uid != 0 || h.Gid != 0 || h.Uname != "" || h.Mode&0o022 != 0 {
				t.Errorf("%s is of %d:%d %q, mode %o: want root's and not writable for others", h.Name, h.Uid, h.Gid, h.Uname, h.Mode)
			}
			root[h.Name] = files[h.Name]
		}
	}
	if pool := x509.NewCertPool(); !pool.AppendCertsFromPEM(root["etc/ssl/certs/ca-certificates.crt"]) || len(pool.Subjects()) < 100 { //nolint:staticcheck // the pool is this list alone
		t.Error("no bundle of certificate authorities")
	}
	binary := root[strings.TrimPrefix(config.Config.Entrypoint[0], "/")]
	static(t, binary)
	sbom(t, root["usr/share/doc/data-server/sbom.spdx.json"], binary)

	file := filepath.Join(t.TempDir(), program)
	if err := os.WriteFile(file, binary, 0o700); err != nil {
		t.Fatal(err)
	}
	got, err := exec.CommandContext(t.Context(), file, "--version").Output()
	if want := "data-server v1.2.3 " + config.Config.Labels["org.opencontainers.image.revision"] + " (go"; err != nil || !strings.HasPrefix(string(got), want) {
		t.Errorf("--version says %q, %v; want %s…", got, err, want)
	}
}

func static(t *testing.T, binary []byte) {
	t.Helper()
	f, err := elf.NewFile(bytes.NewReader(binary))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			t.Error("the program is not static")
		}
	}
	if bytes.Contains(binary, []byte(os.Getenv("HOME")+"/go")) {
		t.Error("a path of this machine is in the program")
	}
}

func sbom(t *testing.T, doc, binary []byte) {
	t.Helper()
	var d struct {
		SPDXVersion string
		Packages    []struct {
			Name, VersionInfo string
			Checksums         []struct{ ChecksumValue string }
		}
	}
	if err := json.Unmarshal(doc, &d); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(binary)
	versions := map[string]string{}
	for _, p := range d.Packages {
		versions[p.Name] = p.VersionInfo
	}
	if d.SPDXVersion != "SPDX-2.3" || len(d.Packages) < 10 || d.Packages[0].Checksums[0].ChecksumValue != hex.EncodeToString(sum[:]) {
		t.Errorf("SBOM: %+v", d)
	}
	if !strings.HasPrefix(versions["github.com/rs/zerolog"], "v1.") || "go"+versions["stdlib"] != runtime.Version() {
		t.Errorf("the SBOM lacks what the program is made of: %v", versions)
	}
}

func TestAnUnknownProgramIsNamed(t *testing.T) {
	inRoot(t)
	err := run(t.Context(), []string{"-out", t.TempDir(), "nonsense"}, io.Discard)
	if err == nil || !strings.Contains(err.Error(), `no program "nonsense"`) || !strings.Contains(err.Error(), "dps-gateway") {
		t.Errorf("%v", err)
	}
}
