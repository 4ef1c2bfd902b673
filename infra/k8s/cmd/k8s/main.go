// Command k8s renders and checks Tidegate's Kustomize overlays. It needs no cluster.
//
//	k8s render -out DIR OVERLAY…   render each overlay into DIR/<name>.yaml and check it
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "k8s:", err)
		os.Exit(1)
	}
}

var errUsage = errors.New("expected: k8s render -out DIR OVERLAY…")

func run(args []string, stdout io.Writer) error {
	if len(args) == 0 {
		return errUsage
	}
	switch args[0] {
	case "render":
		return renderCommand(args[1:], stdout)
	}
	return errUsage
}
