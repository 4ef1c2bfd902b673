// Command bench measures a gateway and the functions as they are built, see docs/benchmarks.md. 'make bench' builds them and
// installs what it needs.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/tidegate/tidegate/infra/internal/bench"
)

// longest bounds the whole run.
const longest = 30 * time.Minute

func main() {
	if bench.ServeBeside() {
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
		os.Exit(2)
	case err != nil:
		_, _ = fmt.Fprintln(os.Stderr, "bench:", err) // nobody is left to tell
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o := bench.Options{Out: stdout, Notes: stderr}
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	fs.SetOutput(stderr)
	only := fs.String("only", "", "parts to measure: some of a,b,c,d,e,f; default all")
	file := fs.String("json", "", "file for the report, every sample in it")
	quiet := fs.Bool("quiet", false, "do not say what is under way")
	fs.IntVar(&o.Runs, "runs", 5, "each figure is the median of this many runs")
	fs.BoolVar(&o.Short, "short", false, "a few seconds only: shows that the bench works, its figures mean nothing")
	fs.BoolVar(&o.Strict, "strict", false, "fail if a bar does not hold")
	fs.StringVar(&o.BinDir, "bin", "bin", "folder of the programs, as 'make build' fills it")
	fs.StringVar(&o.TempDir, "dir", "", "folder below which the bench makes its own, with some GiB free; default the system's for temporary files")
	fs.StringVar(&o.Profile, "profile", "", "folder for CPU profiles of the gateway under load; default none")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if fs.NArg() > 0 {
		return fmt.Errorf("unknown argument %q", fs.Arg(0))
	}
	if *only != "" {
		o.Only = strings.Split(*only, ",")
	}
	if *quiet {
		o.Notes = io.Discard
	}
	ctx, cancel := context.WithTimeoutCause(ctx, longest, fmt.Errorf("not done after %v", longest))
	defer cancel()
	report, err := bench.Run(ctx, o)
	if report != nil && *file != "" {
		err = errors.Join(err, write(*file, report))
	}
	return err
}

func write(file string, r *bench.Report) error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	if err := os.WriteFile(file, append(b, '\n'), 0o644); err != nil { //nolint:gosec // a report is for everybody
		return fmt.Errorf("report: %w", err)
	}
	return nil
}
