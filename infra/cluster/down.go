package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// stopGrace is what each program gets to end by itself.
const stopGrace = 10 * time.Second

// Down ends the programs that Up started and no others, removes what was made, gives the machine its settings back, and then looks
// whether the machine is as it was: what is left behind is an error that names it.
func (l Layout) Down(ctx context.Context, out io.Writer) error {
	before, err := l.readBefore()
	if errors.Is(err, fs.ErrNotExist) {
		_, _ = fmt.Fprintln(out, "no cluster is up")
		return nil
	}
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range []string{"kubelet", "ingress", "dns", "kube-controller-manager", "kube-scheduler", "kube-proxy"} {
		errs = append(errs, l.stopProcess(ctx, name, stopGrace))
	}
	errs = append(errs, l.stopContainers(ctx))
	// The API server waits for its clients' watches to end, which the ones above have done; etcd goes last.
	for _, name := range []string{"containerd", "kube-apiserver", "etcd", "holder"} {
		errs = append(errs, l.stopProcess(ctx, name, stopGrace))
	}
	errs = append(errs, stopGuests(ctx), removeNamespace(ctx, before), before.restoreSysctls(), removeGroups(), l.removeFiles(ctx, before))
	now, err := l.LookAtHost(ctx)
	errs = append(errs, err)
	if left := before.Left(now); len(left) > 0 {
		errs = append(errs, fmt.Errorf("left behind: %s", strings.Join(left, "; ")))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if err := os.RemoveAll(l.run("")); err != nil {
		return fmt.Errorf("folder of the cluster: %w", err)
	}
	_, _ = fmt.Fprintln(out, "the cluster is gone, the machine is as it was")
	return nil
}

// stopContainers ends all containers and the shims that watch over them.
func (l Layout) stopContainers(ctx context.Context) error {
	if _, err := l.readPID("containerd"); err == nil {
		b, err := l.ctr(ctx, "tasks", "ls", "--quiet")
		if err != nil {
			return err
		}
		for id := range strings.FieldsSeq(string(b)) {
			_, _ = l.ctr(ctx, "tasks", "kill", "--signal=SIGKILL", id) // one that has ended by itself is no fault
		}
		err = wait(ctx, stopGrace, func() error {
			b, err := l.ctr(ctx, "tasks", "ls", "--quiet")
			for id := range strings.FieldsSeq(string(b)) {
				_, _ = l.ctr(ctx, "tasks", "rm", "--force", id) // looked at in the next round
				err = fmt.Errorf("container %s is still there", id)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	for _, p := range processesWith("containerd-shim", criSocket) {
		if err := p.stop(ctx, stopGrace); err != nil {
			return fmt.Errorf("containerd-shim: %w", err)
		}
	}
	return nil
}

// stopGuests ends what is still running in the network namespace: commands that Exec has brought in, and what they have left. Their
// cluster is gone.
func stopGuests(ctx context.Context) error {
	if _, err := os.Stat(netnsFile); err != nil {
		return nil //nolint:nilerr // it was never made, or is gone
	}
	out, err := run(ctx, "ip", "netns", "pids", netnsName)
	if err != nil {
		return err
	}
	var errs []error
	for field := range strings.FieldsSeq(string(out)) {
		id, err := strconv.Atoi(field)
		if err != nil {
			return fmt.Errorf("process ids of the namespace: %w", err)
		}
		if started, err := startTime(id); err == nil {
			errs = append(errs, process{id, started}.stop(ctx, stopGrace))
		}
	}
	return errors.Join(errs...)
}

// removeNamespace removes the name of the network namespace, and the mount that 'ip' made for the first name on the machine, unless
// somebody else's name is there by now.
func removeNamespace(ctx context.Context, before Host) error {
	if _, err := os.Stat(netnsFile); err == nil {
		if _, err := run(ctx, "ip", "netns", "del", netnsName); err != nil {
			return err
		}
	}
	dir := filepath.Dir(netnsFile)
	if slices.Contains(before.Mounts, dir) || len(glob(dir+"/*")) > 0 {
		return nil
	}
	if err := syscall.Unmount(dir, 0); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, syscall.ENOENT) { // none is mounted
		return fmt.Errorf("unmounting %s: %w", dir, err)
	}
	return nil
}

// removeGroups removes the control groups of the pods, the innermost first. There were none before: Up had refused otherwise.
func removeGroups() error {
	var errs []error
	for _, root := range podGroups() {
		var dirs []string
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				dirs = append(dirs, path)
			}
			return err
		})
		errs = append(errs, err)
		for _, dir := range slices.Backward(dirs) {
			if err := syscall.Rmdir(dir); err != nil && !errors.Is(err, syscall.ENOENT) {
				errs = append(errs, fmt.Errorf("control group %s: %w", dir, err))
			}
		}
	}
	return errors.Join(errs...)
}

// removeFiles removes what containerd, the network plug-ins and kubelet wrote outside the cluster's own folder.
func (l Layout) removeFiles(ctx context.Context, before Host) error {
	now, err := l.LookAtHost(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, f := range now.Files {
		if len(without(before.Files, f)) == len(before.Files) { // it was not there before
			errs = append(errs, os.RemoveAll(f))
		}
	}
	return errors.Join(errs...)
}
