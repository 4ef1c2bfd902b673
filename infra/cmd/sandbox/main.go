// Command sandbox serves the sandbox dataspace, for development and tests only: it is no connector. Its configuration is the
// YAML file named by -config or SANDBOX_CONFIG; infra/sandbox/testdata/sandbox.yaml shows all of it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/infra/sandbox"
	"github.com/tidegate/tidegate/infra/sandbox/config"
	"github.com/tidegate/tidegate/shared/version"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Getenv("SANDBOX_CONFIG"), os.Stdout, os.Stderr)
	stop()
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "sandbox:", err)
		os.Exit(1)
	}
}

// run serves until the context ends. Nothing listens before everything else has been found good.
func run(ctx context.Context, args []string, file string, stdout, stderr io.Writer) error {
	fs := flag.NewFlagSet("sandbox", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.StringVar(&file, "config", file, "configuration file (YAML); default $SANDBOX_CONFIG")
	showVersion := fs.Bool("version", false, "print what the binary was built from, and end")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if *showVersion {
		_, err := fmt.Fprintln(stdout, version.String("sandbox"))
		return err
	}
	if file == "" {
		return errors.New("no configuration: give -config or SANDBOX_CONFIG")
	}
	c, err := config.Load(file)
	if err != nil {
		return err
	}
	log := zerolog.New(stderr).With().Timestamp().Str("service", "sandbox").Logger()
	slog.SetDefault(slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelError}))) // of the OAuth2 library
	lc := net.ListenConfig{KeepAlive: 30 * time.Second}
	l, err := lc.Listen(ctx, "tcp", c.Listen) // first: a port that is taken must not touch the state
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	s, err := sandbox.Open(c, log)
	if err != nil {
		return errors.Join(err, l.Close())
	}
	log.Info().Str("listen", l.Addr().String()).Str("url", c.PublicURL).Int("participants", len(c.Participants)).
		Msg("sandbox dataspace is up; this is no connector")
	return s.Serve(ctx, l)
}
