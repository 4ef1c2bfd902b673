package cluster

import (
	"context"
	"fmt"
	"os"
	"strconv"
)

// volumes is how many claims for storage the cluster can serve.
const volumes = 64

// offerVolumes offers folders of the node to claims that name no storage class. Each serves one claim and is not cleaned for another.
func (l Layout) offerVolumes(ctx context.Context) error {
	var names []string
	for i := range volumes {
		name := strconv.Itoa(i + 1)
		dir := l.run("volumes", name)
		if err := os.MkdirAll(dir, 0o777); err != nil { //nolint:gosec // kubelet gives it the group of the pod
			return fmt.Errorf("volume: %w", err)
		}
		if err := os.Chmod(dir, 0o777); err != nil { //nolint:gosec // without the umask
			return fmt.Errorf("volume: %w", err)
		}
		names = append(names, name)
	}
	file := l.run("volumes.yaml")
	if err := writeTemplate("volumes.yaml", file, map[string]any{"Dir": l.run("volumes"), "Names": names, "Node": nodeName}); err != nil {
		return err
	}
	_, err := l.kubectl(ctx, "apply", "-f", file)
	return err
}
