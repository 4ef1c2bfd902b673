package cluster

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// volumes is how many claims for storage the cluster can serve at a time.
const volumes = 24

// offerVolumes offers folders of the node to claims that name no storage class. A folder whose claim is gone is emptied and offered
// anew: nothing in Kubernetes does that for volumes of this kind.
func (l Layout) offerVolumes(ctx context.Context) error {
	inUse, err := l.clearReleased(ctx)
	if err != nil {
		return err
	}
	var names []string
	for i := range volumes {
		name := strconv.Itoa(i + 1)
		if inUse[volumeName(name)] {
			continue
		}
		dir := l.run("volumes", name)
		if err := os.MkdirAll(dir, 0o777); err != nil { //nolint:gosec // kubelet gives it the group of the pod
			return fmt.Errorf("volume: %w", err)
		}
		if err := os.Chmod(dir, 0o777); err != nil { //nolint:gosec // without the umask
			return fmt.Errorf("volume: %w", err)
		}
		names = append(names, name)
	}
	if len(names) == 0 {
		return nil
	}
	file := l.run("volumes.yaml")
	if err := writeTemplate("volumes.yaml", file, map[string]any{"Dir": l.run("volumes"), "Names": names, "Node": nodeName}); err != nil {
		return err
	}
	_, err = l.kubectl(ctx, "apply", "-f", file)
	return err
}

func volumeName(name string) string { return "node-" + name }

// clearReleased removes the volumes whose claims are gone, with what is in them, and returns the names of those that are in use.
func (l Layout) clearReleased(ctx context.Context) (inUse map[string]bool, err error) {
	out, err := l.kubectl(ctx, "get", "persistentvolumes", "-o", `jsonpath={range .items[*]}{.metadata.name} {.status.phase}{"\n"}{end}`)
	if err != nil {
		return nil, err
	}
	inUse = map[string]bool{}
	for line := range strings.Lines(string(out)) {
		name, phase, _ := strings.Cut(strings.TrimSpace(line), " ")
		if phase != "Released" {
			inUse[name] = true // or free as it is
			continue
		}
		if _, err := l.kubectl(ctx, "delete", "persistentvolume", name, "--timeout=60s"); err != nil {
			return nil, err
		}
		if err := os.RemoveAll(l.run("volumes", strings.TrimPrefix(name, volumeName("")))); err != nil {
			return nil, fmt.Errorf("volume %s: %w", name, err)
		}
	}
	return inUse, nil
}
