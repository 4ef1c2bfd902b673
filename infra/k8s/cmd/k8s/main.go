// Command k8s renders Tidegate's Kustomize overlays. It needs no cluster.
//
//	k8s render -out DIR OVERLAY…   render each overlay into DIR/<name>.yaml
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/tidegate/tidegate/infra/k8s/internal/devsecrets"
	"github.com/tidegate/tidegate/infra/k8s/internal/render"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "k8s:", err)
		os.Exit(1)
	}
}

var errUsage = errors.New("expected: k8s render -out DIR OVERLAY…")

func run(args []string, stdout io.Writer) error {
	if len(args) == 0 {
		return errUsage
	}
	switch args[0] {
	case "render":
		return renderCommand(args[1:], stdout)
	}
	return errUsage
}

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
		return err
	}
	for _, overlay := range fs.Args() {
		if _, err := os.Stat(filepath.Join(overlay, "sandbox.yaml.in")); err == nil {
			if err := devsecrets.Write(overlay); err != nil {
				return err
			}
		}
		m, err := render.Folder(overlay)
		if err != nil {
			return err
		}
		text, err := m.AsYaml()
		if err != nil {
			return fmt.Errorf("%s: %w", overlay, err)
		}
		file := filepath.Join(*out, filepath.Base(overlay)+".yaml")
		if err := os.WriteFile(file, text, 0o600); err != nil {
			return err
		}
		_, _ = fmt.Fprintf(stdout, "%s: %d objects\n", file, m.Size())
	}
	return nil
}
