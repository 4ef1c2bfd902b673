package cluster

import (
	"fmt"
	"path/filepath"
)

// Addresses inside the cluster's network namespace.
const (
	nodeName    = "node1"
	nodeIP      = "172.30.0.1"
	gatewayIP   = "172.30.0.254" // nothing answers there: the cluster has no way out
	apiPort     = "6443"
	ingressPort = "8000"
	podCIDR     = "10.244.0.0/16"
	nodePodCIDR = "10.244.0.0/24"
	serviceCIDR = "10.96.0.0/16"
	apiService  = "10.96.0.1"
	domain      = "cluster.local"
)

// ImageRepository is the registry's name in the names of images that are imported into the node; Knative is told not to ask for it.
const ImageRepository = "dev.local"

// Layout says where everything of a cluster is. There can be one on a machine.
type Layout struct {
	Root string // absolute; programs/ and log/ below it outlive the cluster, run/ does not
	Mod  string // folder of the pinned modules, infra/cluster/mod
}

// NewLayout returns the layout below two folders.
func NewLayout(root, mod string) (Layout, error) {
	var l Layout
	var err error
	if l.Root, err = filepath.Abs(root); err != nil {
		return l, fmt.Errorf("folder of the cluster: %w", err)
	}
	if l.Mod, err = filepath.Abs(mod); err != nil {
		return l, fmt.Errorf("folder of the modules: %w", err)
	}
	return l, nil
}

// Names that the kernel, or a limit of 107 bytes on the path of a socket, want short.
const (
	netnsName  = "tidegate-cluster"
	netnsFile  = "/run/netns/" + netnsName
	runtimeDir = "/run/tidegate-cluster"
	criSocket  = runtimeDir + "/containerd.sock"
)

func (l Layout) run(parts ...string) string {
	return filepath.Join(append([]string{l.Root, "run"}, parts...)...)
}
func (l Layout) pki(name string) string      { return l.run("pki", name) }
func (l Layout) log(name string) string      { return filepath.Join(l.Root, "log", name+".log") }
func (l Layout) pidFile(name string) string  { return l.run("pid", name) }
func (l Layout) kubeconfig(of string) string { return l.run("pki", of+".kubeconfig") }
func (l Layout) before() string              { return l.run("before.json") }

// Kubeconfig is the administrator's; it is of use inside the network namespace only.
func (l Layout) Kubeconfig() string { return l.kubeconfig("admin") }
