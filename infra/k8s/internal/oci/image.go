// Package oci makes container images without a container engine and without a registry: files, packed into layers, and an OCI image
// layout (OCI image specification 1.1) of all platforms in one tar archive, which "ctr images import", "skopeo copy oci-archive:"
// and "podman load" read. The same input gives the same digest.
package oci

import (
	"archive/tar"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/match"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// User is whom all images run as: nobody that another image or a host knows.
const User = "65532:65532"

// Spec is what an image of one platform is made of.
type Spec struct {
	Arch       string // as GOARCH spells it; the system is linux
	Layers     [][]File
	Entrypoint []string
	WorkDir    string
	Labels     map[string]string
	Created    time.Time
}

// Image puts an image together.
func Image(s Spec) (v1.Image, error) {
	img := mutate.MediaType(mutate.ConfigMediaType(empty.Image, types.OCIConfigJSON), types.OCIManifestSchema1)
	for _, files := range s.Layers {
		l, err := Layer(files, s.Created)
		if err != nil {
			return nil, err
		}
		if img, err = mutate.Append(img, mutate.Addendum{Layer: l, History: v1.History{Created: v1.Time{Time: s.Created}, CreatedBy: "make images"}}); err != nil {
			return nil, fmt.Errorf("image: %w", err)
		}
	}
	c, err := img.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("image: %w", err)
	}
	c = c.DeepCopy()
	c.OS, c.Architecture, c.Created, c.Author = "linux", s.Arch, v1.Time{Time: s.Created}, "Tidegate"
	c.Config = v1.Config{User: User, Entrypoint: s.Entrypoint, WorkingDir: s.WorkDir, Labels: s.Labels, Env: []string{"PATH=/usr/bin", "SSL_CERT_FILE=" + CertFile}}
	if img, err = mutate.ConfigFile(img, c); err != nil {
		return nil, fmt.Errorf("image: %w", err)
	}
	return img, nil
}

// Index joins the images of several platforms under one name.
func Index(images map[string]v1.Image, archs []string, labels map[string]string) (v1.ImageIndex, error) {
	idx := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, arch := range archs {
		idx = mutate.AppendManifests(idx, mutate.IndexAddendum{
			Add: images[arch], Descriptor: v1.Descriptor{MediaType: types.OCIManifestSchema1, Platform: &v1.Platform{OS: "linux", Architecture: arch}},
		})
	}
	annotated, ok := mutate.Annotations(idx, labels).(v1.ImageIndex)
	if !ok {
		return nil, fmt.Errorf("index: annotations made something else of it")
	}
	return annotated, nil
}

// WriteArchive writes an index as an OCI layout in a tar archive. ref is the image's whole name, with its tag: containerd takes the
// name from it.
func WriteArchive(file, ref string, idx v1.ImageIndex, at time.Time) (v1.Hash, error) {
	dir, err := os.MkdirTemp(filepath.Dir(file), ".layout-")
	if err != nil {
		return v1.Hash{}, fmt.Errorf("archive: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	p, err := layout.Write(dir, empty.Index)
	if err != nil {
		return v1.Hash{}, fmt.Errorf("archive: %w", err)
	}
	tag := ref[1+lastColon(ref):]
	if err := p.ReplaceIndex(idx, match.Annotation("none", "none"), layout.WithAnnotations(map[string]string{
		"org.opencontainers.image.ref.name": tag, "io.containerd.image.name": ref,
	})); err != nil {
		return v1.Hash{}, fmt.Errorf("archive: %w", err)
	}
	digest, err := idx.Digest()
	if err != nil {
		return v1.Hash{}, fmt.Errorf("archive: %w", err)
	}
	out, err := os.CreateTemp(filepath.Dir(file), ".archive-")
	if err != nil {
		return v1.Hash{}, fmt.Errorf("archive: %w", err)
	}
	defer func() { _ = os.Remove(out.Name()) }() // gone already if all went well
	if err := writeTree(out, dir, at); err != nil {
		_ = out.Close()
		return v1.Hash{}, fmt.Errorf("archive: %w", err)
	}
	if err := out.Close(); err != nil {
		return v1.Hash{}, fmt.Errorf("archive: %w", err)
	}
	if err := os.Chmod(out.Name(), 0o644); err != nil { //nolint:gosec // an image is no secret
		return v1.Hash{}, fmt.Errorf("archive: %w", err)
	}
	return digest, os.Rename(out.Name(), file)
}

func lastColon(s string) int {
	for i := len(s) - 1; i >= 0; i-- {
		if s[i] == ':' {
			return i
		}
	}
	return -1
}

// writeTree writes the files below dir, sorted, as they come from nobody.
func writeTree(out io.Writer, dir string, at time.Time) error {
	w := tar.NewWriter(out)
	err := filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
		if err != nil || file == dir {
			return err
		}
		name, err := filepath.Rel(dir, file)
		if err != nil {
			return err
		}
		name = filepath.ToSlash(name)
		if d.IsDir() {
			return w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: 0o755, ModTime: at, Format: tar.FormatUSTAR})
		}
		content, err := os.ReadFile(file) //nolint:gosec // a file of the layout that was written here
		if err != nil {
			return err
		}
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(content)), Mode: 0o644, ModTime: at, Format: tar.FormatUSTAR}); err != nil {
			return err
		}
		_, err = w.Write(content)
		return err
	})
	if err != nil {
		return err
	}
	return w.Close()
}
