// Command tidegate runs Tidegate on one machine: the whole house, with a sandbox dataspace to talk to.
//
//	tidegate run   start everything and tell the story of each file, until Ctrl-C
//	tidegate demo  run the main job without a person and compare every file
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/tidegate/tidegate/shared/version"
)

const usage = `usage: tidegate run [options]    start everything on this machine and tell the story of each file, until Ctrl-C
       tidegate demo [options]   run the main job without a person and compare every file
       tidegate --version

"tidegate run -h" and "tidegate demo -h" list the options.
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends it at once
	os.Exit(tidegate(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// tidegate runs a subcommand and returns the exit code: 0 done, 1 it failed, 2 it was called wrongly.
func tidegate(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		_, _ = io.WriteString(stderr, usage)
		return 2
	}
	var command func(context.Context, []string, io.Writer) error
	switch args[0] {
	case "run":
		command = run
	case "demo":
		command = runDemo
	case "--version", "-version":
		_, _ = fmt.Fprintln(stdout, version.String("tidegate"))
		return 0
	case "-h", "--help", "help":
		_, _ = io.WriteString(stdout, usage)
		return 0
	default:
		_, _ = fmt.Fprintf(stderr, "tidegate: %q is no subcommand\n%s", args[0], usage)
		return 2
	}
	switch err := command(ctx, args[1:], stdout); {
	case err == nil, isHelp(err):
		return 0
	default:
		_, _ = fmt.Fprintf(stderr, "tidegate: %v\n", err)
		return 1
	}
}

// newFlags returns a flag set that reports instead of exiting.
func newFlags(name string, out io.Writer) *flag.FlagSet {
	fs := flag.NewFlagSet("tidegate "+name, flag.ContinueOnError)
	fs.SetOutput(out)
	return fs
}
