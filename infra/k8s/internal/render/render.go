// Package render builds a Kustomize folder as "kubectl kustomize" does, and an overlay with the lines of its tenants.
package render

import (
	"fmt"
	"path/filepath"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/resmap"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/filesys"

	"github.com/tidegate/tidegate/infra/k8s/internal/lines"
)

// Folder renders the kustomization in a folder of the disk. It runs no plugin and fetches nothing.
func Folder(dir string) (resmap.ResMap, error) {
	k := krusty.MakeKustomizer(&krusty.Options{
		Reorder:          krusty.ReorderOptionLegacy, // namespaces and what others refer to first, as kubectl applies it
		LoadRestrictions: types.LoadRestrictionsRootOnly,
		PluginConfig:     types.DisabledPluginConfig(),
	})
	m, err := k.Run(filesys.MakeFsOnDisk(), dir)
	if err != nil {
		return nil, fmt.Errorf("rendering %s: %w", dir, err)
	}
	return m, nil
}

// Part is what is applied at once: the overlay, or one line.
type Part struct {
	Line    string // "" is the overlay
	Objects int
	YAML    []byte
}

// Overlay renders an overlay, and then its lines, each by itself: Kustomize compares each object that it renders with each other, so
// that a hundred lines at once take it minutes, and one by one seconds.
func Overlay(dir string) ([]Part, error) {
	names, err := lines.All(dir)
	if err != nil {
		return nil, err
	}
	parts := make([]Part, 0, len(names)+1)
	for _, name := range append([]string{""}, names...) {
		at := dir
		if name != "" {
			at = filepath.Join(dir, "lines", name)
		}
		m, err := Folder(at)
		if err != nil {
			return nil, err
		}
		text, err := m.AsYaml()
		if err != nil {
			return nil, fmt.Errorf("rendering %s: %w", at, err)
		}
		parts = append(parts, Part{Line: name, Objects: m.Size(), YAML: text})
	}
	return parts, nil
}

// Stream is all of an overlay and its lines, as one YAML stream.
func Stream(parts []Part) []byte {
	var all []byte
	for i, p := range parts {
		if i > 0 {
			all = append(all, "---\n"...)
		}
		all = append(all, p.YAML...)
	}
	return all
}
