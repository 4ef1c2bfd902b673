package cluster

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// needed are the programs of the distribution, with the name of Debian's package.
var needed = []struct{ program, debian string }{
	{"containerd", "containerd"},
	{"ctr", "containerd"},
	{"runc", "runc"},
	{"/usr/lib/cni/bridge", "containernetworking-plugins"},
	{"iptables", "iptables"},
	{"conntrack", "conntrack"},
	{"ip", "iproute2"},
	{"nsenter", "util-linux"},
	{"unshare", "util-linux"},
	{"mount", "mount"},
}

// Missing says what this machine lacks for a cluster, each thing by its name; empty if it lacks nothing.
func Missing() []string {
	var missing []string
	if runtime.GOOS != "linux" {
		return []string{"Linux"}
	}
	if os.Geteuid() != 0 {
		missing = append(missing, "root")
	}
	for _, n := range needed {
		if _, err := LookPath(n.program); err != nil {
			missing = append(missing, fmt.Sprintf("%s (package %s)", n.program, n.debian))
		}
	}
	return missing
}

// LookPath finds a program, also where a user's PATH does not look.
func LookPath(program string) (string, error) {
	path, err := exec.LookPath(program)
	if err == nil {
		return path, nil
	}
	for _, dir := range []string{"/usr/sbin", "/sbin"} {
		if path, err := exec.LookPath(filepath.Join(dir, program)); err == nil && !strings.Contains(program, "/") {
			return path, nil
		}
	}
	return "", fmt.Errorf("program %s: %w", program, err)
}
