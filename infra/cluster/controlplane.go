package cluster

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// startNetwork makes the network namespace and in it the bridge that carries the node's address.
func startNetwork(ctx context.Context) error {
	for _, c := range [][]string{
		{"ip", "netns", "add", netnsName},
		{"ip", "-n", netnsName, "link", "set", "lo", "up"},
		{"ip", "-n", netnsName, "link", "add", "node0", "type", "bridge"},
		{"ip", "-n", netnsName, "addr", "add", nodeIP + "/24", "dev", "node0"},
		{"ip", "-n", netnsName, "link", "set", "node0", "up"},
		// kubelet and Services want a default route, even one that leads nowhere.
		{"ip", "-n", netnsName, "route", "add", "default", "via", gatewayIP, "dev", "node0"},
	} {
		if _, err := run(ctx, c...); err != nil {
			return fmt.Errorf("network namespace: %w", err)
		}
	}
	for setting, value := range map[string]string{"net/ipv4/ip_forward": "1", "net/bridge/bridge-nf-call-iptables": "1"} {
		if _, err := run(ctx, inNet("sh", "-c", "echo "+value+" > /proc/sys/"+setting)...); err != nil {
			return fmt.Errorf("setting %s of the network namespace (is the module br_netfilter loaded?): %w", setting, err)
		}
	}
	return nil
}

// startControlPlane starts etcd and the programs of the control plane, and waits for the API server.
func (l Layout) startControlPlane(ctx context.Context, out io.Writer) error {
	began := time.Now()
	if err := l.startInNet("etcd", "etcd",
		"--data-dir="+l.run("etcd"), "--listen-client-urls=http://127.0.0.1:2379", "--advertise-client-urls=http://127.0.0.1:2379",
		"--listen-peer-urls=http://127.0.0.1:2380", "--unsafe-no-fsync", "--log-level=warn"); err != nil {
		return err
	}
	if err := l.startInNet("kube-apiserver", "kube-apiserver",
		"--etcd-servers=http://127.0.0.1:2379", "--service-account-issuer=https://kubernetes.default.svc."+domain,
		"--service-account-key-file="+l.pki("service-accounts.key"), "--service-account-signing-key-file="+l.pki("service-accounts.key"),
		"--service-cluster-ip-range="+serviceCIDR, "--authorization-mode=Node,RBAC", "--client-ca-file="+l.pki("ca.crt"),
		"--tls-cert-file="+l.pki("apiserver.crt"), "--tls-private-key-file="+l.pki("apiserver.key"),
		"--kubelet-client-certificate="+l.pki("apiserver-kubelet.crt"), "--kubelet-client-key="+l.pki("apiserver-kubelet.key"),
		"--kubelet-certificate-authority="+l.pki("ca.crt"), "--kubelet-preferred-address-types=InternalIP", "--allow-privileged=true",
		"--bind-address=0.0.0.0", "--secure-port="+apiPort, "--advertise-address="+nodeIP, "--v=1"); err != nil {
		return err
	}
	if err := wait(ctx, 2*time.Minute, func() error {
		if _, err := l.readPID("kube-apiserver"); err != nil {
			return err
		}
		_, err := l.kubectl(ctx, "get", "--raw=/readyz")
		return err
	}); err != nil {
		return fmt.Errorf("API server is not ready: %w", err)
	}
	_, _ = fmt.Fprintf(out, "API server ready after %v\n", time.Since(began).Round(100*time.Millisecond))
	if err := l.startInNet("kube-controller-manager", "kube-controller-manager",
		"--kubeconfig="+l.kubeconfig("controller-manager"), "--service-account-private-key-file="+l.pki("service-accounts.key"),
		"--root-ca-file="+l.pki("ca.crt"), "--use-service-account-credentials=true", "--allocate-node-cidrs=true", "--cluster-cidr="+podCIDR,
		"--leader-elect=false", "--bind-address=127.0.0.1", "--cluster-signing-cert-file="+l.pki("ca.crt"),
		"--cluster-signing-key-file="+l.pki("ca.key"), "--v=1"); err != nil {
		return err
	}
	if err := l.startInNet("kube-scheduler", "kube-scheduler",
		"--kubeconfig="+l.kubeconfig("scheduler"), "--leader-elect=false", "--bind-address=127.0.0.1",
		"--authentication-kubeconfig="+l.kubeconfig("scheduler"), "--authorization-kubeconfig="+l.kubeconfig("scheduler"), "--v=1"); err != nil {
		return err
	}
	return l.startInNet("kube-proxy", "kube-proxy",
		"--kubeconfig="+l.kubeconfig("proxy"), "--proxy-mode=iptables", "--hostname-override="+nodeName, "--cluster-cidr="+podCIDR,
		"--conntrack-max-per-core=0", "--conntrack-tcp-timeout-established=0", "--conntrack-tcp-timeout-close-wait=0", // the machine's, not ours
		"--healthz-bind-address=127.0.0.1:10256", "--v=1")
}

// startInNet starts a built program in the network namespace.
func (l Layout) startInNet(name, program string, args ...string) error {
	path, err := l.program(program)
	if err != nil {
		return err
	}
	return l.startProcess(name, inNet(append([]string{path}, args...)...)...)
}

// kubectlPath is where the kubectl of the cluster that is up is found, whatever becomes of the pins meanwhile.
func (l Layout) kubectlPath() string { return l.run("bin", "kubectl") }

// kubectl runs kubectl as the administrator, within a bound.
func (l Layout) kubectl(ctx context.Context, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	return run(ctx, inNet(append([]string{l.kubectlPath(), "--kubeconfig=" + l.Kubeconfig(), "--cache-dir=" + l.run("kubectl")}, args...)...)...)
}

func (l Layout) makeFolders() error {
	for _, d := range []string{l.run("pid"), l.run("containerd"), l.run("cni"), l.run("kubelet"), l.run("bin"), filepath.Join(l.Root, "log"), runtimeDir} {
		if err := os.MkdirAll(d, 0o755); err != nil { //nolint:gosec // pods of any user reach their volumes through some of them
			return fmt.Errorf("folder of the cluster: %w", err)
		}
	}
	kubectl, err := l.program("kubectl")
	if err != nil {
		return err
	}
	if err := os.Symlink(kubectl, l.kubectlPath()); err != nil {
		return fmt.Errorf("kubectl: %w", err)
	}
	return nil
}
