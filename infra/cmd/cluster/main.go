// Command cluster runs a real Kubernetes with Knative on this machine for development and tests, see docs/cluster.md.
//
//	cluster up                 build what is missing, start, install Knative
//	cluster exec COMMAND…      run a command inside: with its network, kubectl and KUBECONFIG
//	cluster load ARCHIVE…      bring images to the node
//	cluster down               end it and prove that nothing is left
//	cluster missing            say what this machine lacks, if anything
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/tidegate/tidegate/infra/cluster"
)

// longest bounds a command; the first start builds for minutes.
const longest = 60 * time.Minute

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
		os.Exit(2)
	case err != nil:
		_, _ = fmt.Fprintln(os.Stderr, "cluster:", err) // nobody is left to tell
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("cluster", flag.ContinueOnError)
	flags.SetOutput(stderr)
	dir := flags.String("dir", ".cluster", "folder of everything: programs, state, logs")
	mod := flags.String("mod", "infra/cluster/mod", "folder of the modules that the programs are built from")
	if err := flags.Parse(args); err != nil {
		return err
	}
	l, err := cluster.NewLayout(*dir, *mod)
	if err != nil {
		return err
	}
	command, args := flags.Arg(0), flags.Args()
	if len(args) > 0 {
		args = args[1:]
	}
	if command == "exec" { // in the place of this program: signals and the exit status are the command's own
		return execute(l, args)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, longest, fmt.Errorf("not done after %v", longest))
	defer cancel()
	switch command {
	case "up":
		if err := l.Up(ctx, stdout); err != nil {
			return err
		}
		_, err = fmt.Fprintf(stdout, "inside it: bin/cluster exec kubectl get pods -A   (KUBECONFIG=%s)\n", l.Kubeconfig())
		return err
	case "down":
		return l.Down(ctx, stdout)
	case "load":
		return l.Load(ctx, args...)
	case "missing":
		if missing := cluster.Missing(); len(missing) > 0 {
			return fmt.Errorf("%w: %s", cluster.ErrMissing, strings.Join(missing, ", "))
		}
		return nil
	default:
		return fmt.Errorf("command %q: up, down, exec, load or missing is expected", command)
	}
}

func execute(l cluster.Layout, args []string) error {
	if len(args) == 0 {
		return errors.New("exec: a command is expected")
	}
	command, env, err := l.Exec(args...)
	if err != nil {
		return err
	}
	nsenter, err := cluster.LookPath(command[0])
	if err != nil {
		return err
	}
	if err := syscall.Exec(nsenter, command, append(os.Environ(), env...)); err != nil { //nolint:gosec // running what the caller asks for is its purpose
		return fmt.Errorf("exec: %w", err)
	}
	return nil
}
