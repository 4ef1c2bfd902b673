package oci

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
)

// HostProgram packs a program that is installed on this machine, with the libraries that its loader names and its licence. It is for
// what an installation for development needs and nobody publishes in a form that can be fetched: it is of this machine's platform
// and as new as this machine's packages are.
func HostProgram(ctx context.Context, program, at string, licences ...string) ([]File, error) {
	program, err := filepath.EvalSymlinks(program) // redis-server is a link to its check program's twin at Debian
	if err != nil {
		return nil, fmt.Errorf("packing: %w", err)
	}
	content, err := os.ReadFile(program)
	if err != nil {
		return nil, fmt.Errorf("packing %s: %w", program, err)
	}
	files := []File{{Path: at, Content: content, Mode: 0o555}}
	libs, err := exec.CommandContext(ctx, "ldd", program).Output() //nolint:gosec // the caller names the program
	if err != nil {
		if static.Match(libs) {
			return files, nil
		}
		return nil, fmt.Errorf("ldd %s: %w", program, err)
	}
	seen := map[string]bool{}
	for _, m := range library.FindAllSubmatch(libs, -1) {
		lib := string(m[1])
		if seen[lib] {
			continue
		}
		seen[lib] = true
		real, err := filepath.EvalSymlinks(lib)
		if err != nil {
			return nil, fmt.Errorf("packing %s: %w", program, err)
		}
		content, err := os.ReadFile(real)
		if err != nil {
			return nil, fmt.Errorf("packing %s: %w", program, err)
		}
		files = append(files, File{Path: lib, Content: content, Mode: 0o555}) // under the name by which the loader looks for it
	}
	for _, l := range licences {
		content, err := os.ReadFile(l)
		if err != nil {
			return nil, fmt.Errorf("the licence of %s: %w", program, err)
		}
		files = append(files, File{Path: l, Content: content})
	}
	return files, nil
}

var (
	library = regexp.MustCompile(`(?m)(/[^ ]+) \(0x`)
	static  = regexp.MustCompile(`not a dynamic executable|statically linked`)
)
