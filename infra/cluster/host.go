package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// sysctls are the settings of the whole machine that kubelet changes. Those of kube-proxy belong to the network namespace.
var sysctls = []string{
	"vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops", "kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes",
	"net/ipv4/ip_forward",
}

// Host is what a cluster could leave behind on a machine.
type Host struct {
	Sysctls    map[string]string `json:"sysctls"`
	Mounts     []string          `json:"mounts"`
	Namespaces []string          `json:"namespaces"` // names of network namespaces
	Links      []string          `json:"links"`      // network interfaces
	Rules      []string          `json:"rules"`      // of iptables
	Groups     []string          `json:"groups"`     // control groups of pods
	Files      []string          `json:"files"`      // in the folders of the system that containerd, CNI and kubelet write to
	Processes  []string          `json:"processes"`  // of the cluster
}

// LookAtHost takes down the state of the machine.
func (l Layout) LookAtHost(ctx context.Context) (Host, error) {
	h := Host{Sysctls: map[string]string{}}
	for _, s := range sysctls {
		b, err := os.ReadFile(filepath.Join("/proc/sys", s))
		if err != nil {
			continue // this kernel does not have it
		}
		h.Sysctls[s] = strings.TrimSpace(string(b))
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return h, fmt.Errorf("mounts: %w", err)
	}
	for line := range strings.Lines(string(mounts)) {
		if f := strings.Fields(line); len(f) > 1 {
			h.Mounts = append(h.Mounts, f[1])
		}
	}
	h.Namespaces = glob("/run/netns/*")
	h.Links = glob("/sys/class/net/*")
	h.Groups = podGroups()
	h.Files = glob("/var/lib/cni/*", "/var/lib/cni/*/*", "/var/lib/kubelet/*", "/var/lib/containerd/*", "/var/lib/containers/*",
		"/run/containerd/*", runtimeDir, filepath.Dir(netnsFile), "/var/log/pods/*", "/var/log/containers/*", "/etc/cni/net.d/*")
	rules, err := run(ctx, "iptables-save")
	if err != nil {
		return h, fmt.Errorf("rules of iptables: %w", err)
	}
	for line := range strings.Lines(string(rules)) {
		if strings.HasPrefix(line, "-A") || strings.HasPrefix(line, ":") {
			rule, _, _ := strings.Cut(strings.TrimSpace(line), " [") // without the counters
			h.Rules = append(h.Rules, rule)
		}
	}
	for _, words := range [][]string{{l.run("")}, {criSocket}} {
		for _, p := range processesWith(words...) {
			b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", p.id)) // one that has just ended has no name left
			h.Processes = append(h.Processes, strings.ReplaceAll(string(b), "\x00", " "))
		}
	}
	return h, nil
}

// podGroups finds the groups that kubelet makes, of either version of control groups.
func podGroups() []string {
	return glob("/sys/fs/cgroup/kubepods", "/sys/fs/cgroup/*/kubepods", "/sys/fs/cgroup/k8s.io", "/sys/fs/cgroup/*/k8s.io")
}

func glob(patterns ...string) []string {
	var found []string
	for _, p := range patterns {
		files, _ := filepath.Glob(p) // the patterns are right
		found = append(found, files...)
	}
	return found
}

// Left says what is on the machine now that was not there before, and which setting is not what it was.
func (h Host) Left(now Host) []string {
	var left []string
	add := func(kind string, was, is []string) {
		for _, x := range is {
			if !slices.Contains(was, x) {
				left = append(left, kind+" "+x)
			}
		}
	}
	add("mount", h.Mounts, now.Mounts)
	add("network namespace", h.Namespaces, now.Namespaces)
	add("network interface", h.Links, now.Links)
	add("rule of iptables", h.Rules, now.Rules)
	add("control group", h.Groups, now.Groups)
	add("file", h.Files, now.Files)
	add("process", h.Processes, now.Processes)
	for _, s := range sortedKeys(h.Sysctls) {
		if now.Sysctls[s] != h.Sysctls[s] {
			left = append(left, fmt.Sprintf("setting %s is %s, was %s", s, now.Sysctls[s], h.Sysctls[s]))
		}
	}
	return left
}

func (l Layout) readBefore() (Host, error) {
	var h Host
	b, err := os.ReadFile(l.before())
	if err != nil {
		return h, fmt.Errorf("what the machine was like: %w", err)
	}
	if err := json.Unmarshal(b, &h); err != nil {
		return h, fmt.Errorf("what the machine was like: %w", err)
	}
	return h, nil
}

func (l Layout) writeBefore(h Host) error {
	b, err := json.Marshal(h)
	if err != nil {
		return fmt.Errorf("what the machine is like: %w", err)
	}
	if err := os.WriteFile(l.before(), b, 0o600); err != nil {
		return fmt.Errorf("what the machine is like: %w", err)
	}
	return nil
}

// restoreSysctls gives each setting the value that it had.
func (h Host) restoreSysctls() error {
	var errs []error
	for _, s := range sortedKeys(h.Sysctls) {
		file := filepath.Join("/proc/sys", s)
		b, err := os.ReadFile(file)
		if err == nil && strings.TrimSpace(string(b)) == h.Sysctls[s] {
			continue
		}
		if err := os.WriteFile(file, []byte(h.Sysctls[s]), 0o644); err != nil { //nolint:gosec // the kernel's own file
			errs = append(errs, fmt.Errorf("setting %s: %w", s, err))
		}
	}
	return errors.Join(errs...)
}
