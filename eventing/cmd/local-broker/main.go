// Command local-broker is the event broker of a Tidegate on one machine: see package localbroker. It is configured by its
// environment only (localbroker.Config) and ends on SIGTERM or SIGINT after what is under way has ended.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/eventing/localbroker"
	"github.com/tidegate/tidegate/shared/auth"
	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/version"
)

func main() {
	if len(os.Args) > 1 {
		os.Exit(arguments(os.Args[1], os.Stdout, os.Stderr))
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	err := run(ctx, os.Environ(), os.Stderr)
	stop()
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "local-broker:", err) // nobody is left to tell if this fails
		os.Exit(1)
	}
}

// arguments answers to what the program was given, and returns its exit code.
func arguments(first string, stdout, stderr io.Writer) int {
	if first == "--version" || first == "-version" {
		_, _ = fmt.Fprintln(stdout, version.String("local-broker")) // nobody is left to tell
		return 0
	}
	_, _ = fmt.Fprintf(stderr, "local-broker: unknown argument %q: it takes --version only, its settings come from the environment\n", first)
	return 2
}

// run is the program without the process: it returns when ctx has ended and everything is closed.
func run(ctx context.Context, environ []string, logTo io.Writer) error {
	cfg, err := localbroker.LoadConfig(environ)
	if err != nil {
		return err
	}
	level, err := zerolog.ParseLevel(cfg.LogLevel)
	if err != nil {
		return err
	}
	log := zerolog.New(logTo).Level(level).With().Timestamp().Str("program", "local-broker").Logger()
	secret, err := auth.NewSharedSecret(cfg.TokenFile)
	if err != nil {
		return problem.Field("INTERNAL_TOKEN_FILE", "%w", err)
	}
	b, err := localbroker.New(ctx, cfg, secret, log)
	if err != nil {
		return err
	}
	return b.Run(ctx)
}
