package cluster

import (
	"bytes"
	"context"
	"embed"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"text/template"
	"time"
)

//go:embed files
var files embed.FS

// startNode starts containerd and kubelet in a mount namespace of their own, and the DNS server, and waits until the node is ready.
func (l Layout) startNode(ctx context.Context, out io.Writer) error {
	runc, err := LookPath("runc")
	if err != nil {
		return err
	}
	values := map[string]string{
		"Run": l.run(""), "Socket": criSocket, "State": runtimeDir + "/state", "Runc": runc, "NodeIP": nodeIP, "PodCIDR": nodePodCIDR, "Domain": domain,
		"Pause": ImageRepository + "/pause:1", "PKI": l.pki(""),
	}
	for name, to := range map[string]string{
		"containerd.toml": l.run("containerd.toml"), "cni.conflist": l.run("cni", "10-bridge.conflist"), "kubelet.yaml": l.run("kubelet.yaml"),
		"resolv.conf": l.run("resolv.conf"),
	} {
		if err := writeTemplate(name, to, values); err != nil {
			return err
		}
	}
	// The holder keeps the mount namespace: what containerd and kubelet mount is seen in there only, and gone with it.
	holder := "mount --make-rshared / && mount --bind '" + l.run("resolv.conf") + "' /etc/resolv.conf && exec sleep infinity"
	if err := l.startProcess("holder", inNet("unshare", "--mount", "--propagation=private", "sh", "-c", holder)...); err != nil {
		return err
	}
	if err := wait(ctx, 10*time.Second, func() error { _, err := l.node(ctx, "grep", "-q", nodeIP, "/etc/resolv.conf"); return err }); err != nil {
		return fmt.Errorf("mount namespace: %w", err)
	}
	if err := l.startInNode("containerd", "containerd", "--config="+l.run("containerd.toml"), "--log-level=info"); err != nil {
		return err
	}
	if err := wait(ctx, 30*time.Second, func() error { _, err := l.ctr(ctx, "version"); return err }); err != nil {
		return fmt.Errorf("containerd is not ready, see %s: %w", l.log("containerd"), err)
	}
	if err := l.importProgram(ctx, ImageRepository+"/pause:1", "pause"); err != nil {
		return err
	}
	kubelet, err := l.program("kubelet")
	if err != nil {
		return err
	}
	if err := l.startInNode("kubelet", kubelet, "--kubeconfig="+l.kubeconfig("kubelet"), "--config="+l.run("kubelet.yaml"),
		"--root-dir="+l.run("kubelet"), "--cert-dir="+l.run("kubelet", "pki"), "--node-ip="+nodeIP, "--hostname-override="+nodeName, "--v=2"); err != nil {
		return err
	}
	if err := l.startInNet("dns", "dns", "-kubeconfig="+l.Kubeconfig(), "-addr="+nodeIP+":53", "-domain="+domain); err != nil {
		return err
	}
	began := time.Now()
	if err := wait(ctx, 2*time.Minute, func() error {
		if _, err := l.readPID("kubelet"); err != nil {
			return err
		}
		b, err := l.kubectl(ctx, "get", "node", nodeName, `-o=jsonpath={.status.conditions[?(@.type=="Ready")].status}`)
		if err == nil && string(b) != "True" {
			return fmt.Errorf("its condition Ready is %q", b)
		}
		return err
	}); err != nil {
		return fmt.Errorf("node is not ready, see %s: %w", l.log("kubelet"), err)
	}
	_, _ = fmt.Fprintf(out, "node ready after %v\n", time.Since(began).Round(100*time.Millisecond))
	return nil
}

func writeTemplate(name, to string, values any) error {
	t, err := template.New(name).Option("missingkey=error").ParseFS(files, "files/"+name)
	if err != nil {
		return fmt.Errorf("template: %w", err)
	}
	var b bytes.Buffer
	if err := t.Execute(&b, values); err != nil {
		return fmt.Errorf("template: %w", err)
	}
	if err := os.WriteFile(to, b.Bytes(), 0o644); err != nil { //nolint:gosec // no secret in it; resolv.conf is read by every user
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// startInNode starts a program in the node's mount and network namespaces.
func (l Layout) startInNode(name string, args ...string) error {
	command, err := l.inNode(args...)
	if err != nil {
		return err
	}
	return l.startProcess(name, command...)
}

// node runs a command in the node's mount and network namespaces.
func (l Layout) node(ctx context.Context, args ...string) ([]byte, error) {
	command, err := l.inNode(args...)
	if err != nil {
		return nil, err
	}
	return run(ctx, command...)
}

func (l Layout) ctr(ctx context.Context, args ...string) ([]byte, error) {
	return l.node(ctx, append([]string{"ctr", "--address=" + criSocket, "--namespace=k8s.io"}, args...)...)
}

// importProgram makes an image of a built program and brings it to the node.
func (l Layout) importProgram(ctx context.Context, image, program string) error {
	path, err := l.program(program)
	if err != nil {
		return err
	}
	archive := l.run(program + ".tar")
	f, err := os.Create(archive)
	if err != nil {
		return fmt.Errorf("image %s: %w", image, err)
	}
	defer func() { _ = os.Remove(archive) }() // Down removes the folder anyway
	if err := writeArchive(f, image, path); err != nil {
		_ = f.Close() // the first error tells more
		return err
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("image %s: %w", image, err)
	}
	return l.importArchive(ctx, archive)
}

func (l Layout) importArchive(ctx context.Context, archive string) error {
	_, err := l.ctr(ctx, "images", "import", "--platform=linux/"+runtime.GOARCH, archive)
	return err
}

// Load brings images to the node: each file or folder is an archive of the formats of OCI or 'docker save'. Who brings images is about
// to install something: storage that was used and given back is offered again.
func (l Layout) Load(ctx context.Context, archives ...string) error {
	if err := l.isUp(); err != nil {
		return err
	}
	if err := l.offerVolumes(ctx); err != nil {
		return err
	}
	for _, a := range archives {
		path, err := filepath.Abs(a)
		if err != nil {
			return fmt.Errorf("archive %s: %w", a, err)
		}
		if err := l.importArchive(ctx, path); err != nil {
			return fmt.Errorf("archive %s: %w", a, err)
		}
	}
	return nil
}
