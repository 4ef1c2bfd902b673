// Package version says which build a program is.
package version

import "runtime"

// Version is the release, set by the linker: -X github.com/tidegate/tidegate/shared/version.Version=….
var Version = "devel"

// String is the line that --version prints for a program.
func String(program string) string {
	return program + " " + Version + " (" + runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH + ")"
}
