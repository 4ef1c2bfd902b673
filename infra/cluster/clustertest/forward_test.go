package clustertest

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/shared/loopback"
)

// forward makes a Service reachable at a local address until the test ends. A forwarding ends with the pod that it goes to; then
// another one is made, at the same address.
func forward(t *testing.T, ns, service string, port int) string {
	t.Helper()
	addr, err := loopback.Addr()
	if err != nil {
		t.Fatal(err)
	}
	_, local, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	ready := make(chan struct{}, 1)
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			forwardOnce(ctx, ns, service, fmt.Sprintf("%s:%d", local, port), ready)
			select {
			case <-ctx.Done():
			case <-time.After(200 * time.Millisecond):
			}
		}
	}()
	t.Cleanup(func() { cancel(); <-ended })
	select {
	case <-ready:
	case <-time.After(time.Minute):
		t.Fatalf("service %s in %s can't be reached at port %d", service, ns, port)
	}
	return addr
}

// forwardOnce forwards until the pod is gone.
func forwardOnce(ctx context.Context, ns, service, ports string, ready chan<- struct{}) {
	cmd := exec.CommandContext(ctx, "kubectl", "port-forward", "-n", ns, "service/"+service, ports)
	endWithUs(cmd)
	out, err := cmd.StdoutPipe()
	if err != nil || cmd.Start() != nil {
		return
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "Forwarding from 127.0.0.1") {
			select {
			case ready <- struct{}{}:
			default:
			}
		}
	}
	_ = cmd.Wait() // it ends with the pod, and with the test
}
