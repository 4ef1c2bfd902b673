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
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	err := run(ctx, os.Environ(), os.Stderr)
	stop()
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "local-broker:", err) // nobody is left to tell if this fails
		os.Exit(1)
	}
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
		return err
	}
	b, err := localbroker.New(ctx, cfg, secret, log)
	if err != nil {
		return err
	}
	return b.Run(ctx)
}
