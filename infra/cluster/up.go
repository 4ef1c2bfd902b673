package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// ErrMissing is wrapped when the machine lacks something that a cluster needs.
var ErrMissing = errors.New("a cluster on this machine needs what is missing")

// Up builds what is not built yet, starts the cluster and installs Knative; out is told what takes long. A cluster that is up stays
// as it is. If something fails, what was started stays for a look at its logs; Down removes it.
func (l Layout) Up(ctx context.Context, out io.Writer) error {
	if missing := Missing(); len(missing) > 0 {
		return fmt.Errorf("%w: %s", ErrMissing, strings.Join(missing, ", "))
	}
	if err := l.Build(ctx, out); err != nil {
		return err
	}
	if _, err := os.Stat(l.before()); !errors.Is(err, fs.ErrNotExist) {
		return l.alreadyUp(ctx, out)
	}
	if _, err := os.Stat(netnsFile); err == nil {
		return fmt.Errorf("%s exists: a cluster of another working copy is up, end it there", netnsFile)
	}
	if groups := podGroups(); len(groups) > 0 {
		return fmt.Errorf("%s exists: another kubelet runs on this machine", groups[0])
	}
	if err := l.makeFolders(); err != nil {
		return err
	}
	before, err := l.LookAtHost(ctx)
	if err != nil {
		return err
	}
	before.Files, before.Processes = without(before.Files, runtimeDir), nil // made above
	if err := l.writeBefore(before); err != nil {
		return err
	}
	if err := l.writePKI(); err != nil {
		return err
	}
	if err := startNetwork(ctx); err != nil {
		return err
	}
	if err := l.startControlPlane(ctx, out); err != nil {
		return err
	}
	if err := l.startNode(ctx, out); err != nil {
		return err
	}
	if err := l.offerVolumes(ctx); err != nil {
		return err
	}
	if err := l.installKnative(ctx, out); err != nil {
		return err
	}
	return os.WriteFile(l.run("complete"), nil, 0o600)
}

func (l Layout) alreadyUp(ctx context.Context, out io.Writer) error {
	if _, err := os.Stat(l.run("complete")); err != nil {
		return fmt.Errorf("a cluster was started and not completed, look at %s and remove it with 'cluster down'", filepath.Join(l.Root, "log"))
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if _, err := l.kubectl(ctx, "get", "--raw=/readyz"); err != nil {
		return fmt.Errorf("the cluster was up and is not ready any more, remove it with 'cluster down': %w", err)
	}
	_, _ = fmt.Fprintln(out, "the cluster is up already")
	return nil
}

func without(list []string, x string) []string {
	var out []string
	for _, y := range list {
		if y != x {
			out = append(out, y)
		}
	}
	return out
}

func (l Layout) isUp() error {
	if _, err := os.Stat(l.run("complete")); err != nil {
		return errors.New("no cluster is up, start one with 'cluster up'")
	}
	return nil
}

// Exec is the command line that runs a command inside the cluster's network namespace, with kubectl in front of its PATH and
// KUBECONFIG set, and the changes of its environment.
func (l Layout) Exec(args ...string) (command, env []string, err error) {
	if err := l.isUp(); err != nil {
		return nil, nil, err
	}
	env = []string{
		"KUBECONFIG=" + l.Kubeconfig(), "PATH=" + filepath.Dir(l.kubectlPath()) + string(filepath.ListSeparator) + os.Getenv("PATH"),
		// Every address of the cluster is near; a proxy of the machine's surroundings is not to be asked.
		"HTTP_PROXY=", "HTTPS_PROXY=", "http_proxy=", "https_proxy=",
	}
	return inNet(args...), env, nil
}
