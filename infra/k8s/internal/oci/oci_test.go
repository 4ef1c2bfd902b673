package oci_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"

	"github.com/tidegate/tidegate/infra/k8s/internal/oci"
)

var at = time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)

func image(t *testing.T, arch, content string) v1.Image {
	t.Helper()
	img, err := oci.Image(oci.Spec{
		Arch: arch, Entrypoint: []string{"/usr/bin/p"}, Created: at,
		Layers: [][]oci.File{oci.Base(), {{Path: "/usr/bin/p", Content: []byte(content), Mode: 0o555}, {Path: "/lib/l", Link: "l.1"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func TestAnArchiveHoldsAllPlatformsUnderOneName(t *testing.T) {
	images := map[string]v1.Image{"amd64": image(t, "amd64", "a"), "arm64": image(t, "arm64", "b")}
	idx, err := oci.Index(images, []string{"amd64", "arm64"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "p.tar")
	digest, err := oci.WriteArchive(file, "registry.example:5000/p:v1", idx, at)
	if err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("left beside the archive: %v %v", left, err)
	}
	unpacked := t.TempDir()
	if out, err := exec.CommandContext(t.Context(), "tar", "-xf", file, "-C", unpacked).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	top, err := layout.ImageIndexFromPath(unpacked)
	if err != nil {
		t.Fatal(err)
	}
	m, err := top.IndexManifest()
	if err != nil || len(m.Manifests) != 1 || m.Manifests[0].Digest != digest || m.Manifests[0].Annotations["org.opencontainers.image.ref.name"] != "v1" {
		t.Fatalf("%v %+v", err, m)
	}
	inner, err := top.ImageIndex(digest)
	if err != nil {
		t.Fatal(err)
	}
	im, err := inner.IndexManifest()
	if err != nil || len(im.Manifests) != 2 || im.Manifests[0].Platform.Architecture != "amd64" || im.Manifests[1].Platform.Architecture != "arm64" {
		t.Fatalf("%v %+v", err, im)
	}
}

func TestADigestIsOfTheContentAlone(t *testing.T) {
	digest := func(files ...oci.File) string {
		t.Helper()
		l, err := oci.Layer(files, at)
		if err != nil {
			t.Fatal(err)
		}
		d, err := l.Digest()
		if err != nil {
			t.Fatal(err)
		}
		return d.String()
	}
	a, b := oci.File{Path: "/a/b/c", Content: []byte("1")}, oci.File{Path: "/a/d", Content: []byte("2")}
	if digest(a, b) != digest(b, a) {
		t.Error("the order of the files is in the digest")
	}
	if digest(a, b) == digest(a, oci.File{Path: "/a/d", Content: []byte("3")}) {
		t.Error("the content is not in the digest")
	}
}

// A program of this machine, packed, runs in a root of its own: nothing that it needs is left out.
func TestAPackedProgramOfThisMachineIsWhole(t *testing.T) {
	redis, err := exec.LookPath("redis-server")
	if err != nil {
		t.Skip("redis-server is not installed here")
	}
	files, err := oci.HostProgram(t.Context(), redis, "/usr/bin/redis-server")
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	var loader string
	for _, f := range files {
		file := filepath.Join(root, f.Path)
		if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, f.Content, 0o700); err != nil {
			t.Fatal(err)
		}
		if bytes.Contains([]byte(filepath.Base(f.Path)), []byte("ld-linux")) {
			loader = file
		}
	}
	dirs := map[string]bool{}
	path := ""
	for _, f := range files {
		if d := filepath.Join(root, filepath.Dir(f.Path)); !dirs[d] {
			dirs[d] = true
			path += d + ":"
		}
	}
	out, err := exec.CommandContext(t.Context(), loader, "--inhibit-cache", "--library-path", path, "--argv0", "redis-server", filepath.Join(root, "usr/bin/redis-server"), "--version").CombinedOutput()
	if err != nil || !bytes.HasPrefix(out, []byte("Redis server v=")) {
		t.Errorf("%v: %s", err, out)
	}
}
