// Command k8s renders and checks Tidegate's Kustomize overlays. It needs no cluster.
//
//	k8s render -out DIR OVERLAY…                                     render each overlay into DIR/<name>.yaml and check it
//	k8s tenant -overlay DIR -name LINE -doc FILE [SECRET FILE…]      give a tenant a line of functions of its own
//	k8s tenant -overlay DIR -name LINE -remove                       and take it away
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

var errUsage = errors.New("expected: k8s render -out DIR OVERLAY…, or k8s tenant -overlay DIR -name LINE (-doc FILE [SECRET FILE…] | -remove)")

func run(args []string, stdout io.Writer) error {
	if len(args) == 0 {
		return errUsage
	}
	switch args[0] {
	case "render":
		return renderCommand(args[1:], stdout)
	case "tenant":
		return tenantCommand(args[1:])
	}
	return errUsage
}
