package cluster

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
)

// writeArchive writes an image that holds one static program, in the format of 'docker save', which 'ctr images import' reads.
func writeArchive(w io.Writer, name, program string) error {
	binary, err := os.ReadFile(program)
	if err != nil {
		return fmt.Errorf("image %s: %w", name, err)
	}
	layer, err := tarOf(
		entry{name: "app/", mode: 0o755}, entry{name: "etc/", mode: 0o755}, entry{name: "tmp/", mode: 0o1777},
		entry{name: "var/run/ko/", mode: 0o755}, // where Knative's programs look for the name of their release
		entry{name: "etc/passwd", mode: 0o644, data: []byte("nonroot:x:65532:65532::/:/sbin/nologin\n")},
		entry{name: "app/run", mode: 0o755, data: binary},
	)
	if err != nil {
		return fmt.Errorf("image %s: %w", name, err)
	}
	layerSum := hexSum(layer)
	config, err := json.Marshal(map[string]any{
		"architecture": runtime.GOARCH, "os": "linux",
		"config": map[string]any{
			"Entrypoint": []string{"/app/run"}, "User": "65532:65532", "WorkingDir": "/", "Env": []string{"PATH=/app", "KO_DATA_PATH=/var/run/ko"},
		},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{"sha256:" + layerSum}},
	})
	if err != nil {
		return fmt.Errorf("image %s: %w", name, err)
	}
	manifest, err := json.Marshal([]map[string]any{{
		"Config": hexSum(config) + ".json", "RepoTags": []string{name}, "Layers": []string{layerSum + "/layer.tar"},
	}})
	if err != nil {
		return fmt.Errorf("image %s: %w", name, err)
	}
	archive, err := tarOf(
		entry{name: hexSum(config) + ".json", mode: 0o644, data: config},
		entry{name: layerSum + "/layer.tar", mode: 0o644, data: layer},
		entry{name: "manifest.json", mode: 0o644, data: manifest},
	)
	if err != nil {
		return fmt.Errorf("image %s: %w", name, err)
	}
	if _, err := w.Write(archive); err != nil {
		return fmt.Errorf("image %s: %w", name, err)
	}
	return nil
}

// entry is a file of an archive, or a folder if its name ends with a slash.
type entry struct {
	name string
	mode int64
	data []byte
}

func tarOf(entries ...entry) ([]byte, error) {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, e := range entries {
		h := &tar.Header{Name: e.name, Mode: e.mode, Size: int64(len(e.data)), Typeflag: tar.TypeReg}
		if e.name[len(e.name)-1] == '/' {
			h.Typeflag = tar.TypeDir
		}
		if err := w.WriteHeader(h); err != nil {
			return nil, fmt.Errorf("archive: %w", err)
		}
		if _, err := w.Write(e.data); err != nil {
			return nil, fmt.Errorf("archive: %w", err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("archive: %w", err)
	}
	return buf.Bytes(), nil
}

func hexSum(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
