// Package version says which build a program is.
package version

import (
	"runtime"
	"runtime/debug"
)

// Version is the release and Commit the revision that it was built from, set by the linker:
// -X github.com/tidegate/tidegate/shared/version.Version=….
var (
	Version = "devel"
	Commit  = ""
)

// Revision is Commit or, where the linker was told none, what Go itself noted of the working tree; "unknown" if it did not.
func Revision() string {
	if Commit != "" {
		return Commit
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	revision, dirty := "unknown", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			revision = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "-dirty"
		}
	}
	return revision + dirty
}

// String is the line that --version prints for a program.
func String(program string) string {
	return program + " " + Version + " " + Revision() + " (" + runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH + ")"
}
