// Command contractgen writes the JSON Schemas and the AsyncAPI document of the events; see package contract. With -check it
// writes nothing and fails if a file is not what it would write, or does not belong there.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"github.com/tidegate/tidegate/eventing/internal/contract"
)

func main() {
	root := flag.String("root", ".", "folder of the module eventing")
	check := flag.Bool("check", false, "compare instead of writing")
	flag.Parse()
	if err := run(*root, *check); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "contractgen:", err) // nobody is left to tell if this fails
		os.Exit(1)
	}
}

func run(root string, check bool) error {
	files, err := contract.Files(root)
	if err != nil {
		return err
	}
	for name, want := range files {
		path := filepath.Join(root, name)
		got, err := os.ReadFile(path)
		switch {
		case err == nil && bytes.Equal(got, want):
		case check:
			return fmt.Errorf("%s is out of date: run go generate", path)
		default:
			if err := os.WriteFile(path, want, 0o644); err != nil { //nolint:gosec // sources are for everyone to read
				return err
			}
		}
	}
	stale, err := filepath.Glob(filepath.Join(root, "catalogue", "schemas", "*"))
	if err != nil {
		return err
	}
	for _, path := range stale {
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		if _, ok := files[filepath.ToSlash(rel)]; ok {
			continue
		}
		if check {
			return fmt.Errorf("%s belongs to no type of event: run go generate", path)
		}
		if err := os.Remove(path); err != nil {
			return err
		}
	}
	return nil
}
