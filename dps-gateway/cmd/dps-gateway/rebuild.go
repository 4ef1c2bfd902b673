package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os/signal"
	"syscall"

	"github.com/tidegate/tidegate/dps-gateway/internal/gateway"
	"github.com/tidegate/tidegate/shared/function"
)

// The exit codes of a rebuild.
const (
	rebuilt    = 0 // all that there was to bring back is back
	notRebuilt = 1 // something failed: run it again
	badUsage   = 2
	losses     = 3 // done, but what the report calls lost needs somebody's action
)

// rebuildCommand is "dps-gateway rebuild".
func rebuildCommand(args []string, stdout, stderr io.Writer, level string) int {
	var opts gateway.RebuildOptions
	fs := flag.NewFlagSet("dps-gateway rebuild", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.BoolVar(&opts.Terminate, "terminate", false, "terminate transfers whose data address is lost, so that subscriptions start others")
	fs.BoolVar(&opts.SkipSinks, "skip-sinks", false, "do not read what lies at the sinks: everything is delivered once more")
	fs.BoolVar(&opts.Decisions, "decisions", false, "have decisions made again too: once the gateway runs and a sweep has been through")
	if err := fs.Parse(args); errors.Is(err, flag.ErrHelp) {
		return rebuilt
	} else if err != nil || fs.NArg() > 0 {
		return badUsage
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	say := func(format string, a ...any) { _, _ = fmt.Fprintf(stderr, "dps-gateway rebuild: "+format+"\n", a...) }
	cfg, err := function.LoadConfig[gateway.Config]()
	if err != nil {
		say("%v", err)
		return notRebuilt
	}
	sum, err := gateway.Rebuild(ctx, cfg, opts, stdout, function.NewLogger(stderr, level))
	switch {
	case err != nil:
		say("%v", err)
		return notRebuilt
	case sum.Failed > 0:
		say("%d tenants could not be rebuilt to the end: run it again", sum.Failed)
		return notRebuilt
	case sum.Lost > 0:
		return losses
	}
	return rebuilt
}
