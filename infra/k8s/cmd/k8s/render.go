package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"sigs.k8s.io/yaml"

	"github.com/tidegate/tidegate/infra/k8s/internal/check"
	"github.com/tidegate/tidegate/infra/k8s/internal/devsecrets"
	"github.com/tidegate/tidegate/infra/k8s/internal/render"
)

// promisedFile is the file of an overlay that lists the Secrets that its operator provides.
const promisedFile = "secrets.required.yaml"

// renderCommand renders overlays into files and checks what came out. All faults of all overlays are told.
func renderCommand(args []string, stdout io.Writer) error {
	fs := flag.NewFlagSet("k8s render", flag.ContinueOnError)
	out := fs.String("out", "", "folder for the rendered manifests")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if *out == "" || fs.NArg() == 0 {
		return errUsage
	}
	if err := os.MkdirAll(*out, 0o700); err != nil { // dev's hold secrets
		return fmt.Errorf("-out: %w", err)
	}
	bad := 0
	for _, overlay := range fs.Args() {
		parts, faults, err := renderOverlay(overlay, filepath.Join(*out, filepath.Base(overlay)))
		if err != nil {
			return err
		}
		for _, f := range faults {
			_, _ = fmt.Fprintf(stdout, "%s: %s\n", overlay, f)
		}
		if len(faults) == 0 {
			_, _ = fmt.Fprintf(stdout, "%s: %s, no fault\n", overlay, count(parts))
		}
		bad += len(faults)
	}
	if bad > 0 {
		return fmt.Errorf("%d faults in the manifests", bad)
	}
	return nil
}

// renderOverlay writes the overlay into <out>.yaml and its lines into <out>.lines/<name>.yaml, and returns what is wrong with them.
func renderOverlay(overlay, out string) ([]render.Part, []check.Fault, error) {
	if _, err := os.Stat(filepath.Join(overlay, "sandbox.yaml.in")); err == nil {
		if err := devsecrets.Write(overlay); err != nil {
			return nil, nil, err
		}
	}
	promised, err := promises(overlay)
	if err != nil {
		return nil, nil, err
	}
	parts, err := render.Overlay(overlay)
	if err != nil {
		return nil, nil, err
	}
	dir := out + ".lines"
	if err := os.RemoveAll(dir); err != nil { // lines that are gone
		return nil, nil, fmt.Errorf("-out: %w", err)
	}
	for _, p := range parts {
		file := out + ".yaml"
		if p.Line != "" {
			file = filepath.Join(dir, p.Line+".yaml")
			if err := os.MkdirAll(dir, 0o700); err != nil {
				return nil, nil, fmt.Errorf("-out: %w", err)
			}
		}
		if err := os.WriteFile(file, p.YAML, 0o600); err != nil {
			return nil, nil, fmt.Errorf("-out: %w", err)
		}
	}
	return parts, check.Manifests(render.Stream(parts), check.Options{Promised: promised}), nil
}

func count(parts []render.Part) string {
	of := 0
	for _, p := range parts[1:] {
		of += p.Objects
	}
	if of == 0 {
		return fmt.Sprintf("%d objects", parts[0].Objects)
	}
	return fmt.Sprintf("%d objects, and %d of %d lines", parts[0].Objects, of, len(parts)-1)
}

func promises(overlay string) ([]check.Promise, error) {
	b, err := os.ReadFile(filepath.Join(overlay, promisedFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", overlay, err)
	}
	var doc struct {
		Secrets []check.Promise `json:"secrets"`
	}
	if err := yaml.UnmarshalStrict(b, &doc); err != nil {
		return nil, fmt.Errorf("%s/%s: %w", overlay, promisedFile, err)
	}
	return doc.Secrets, nil
}
