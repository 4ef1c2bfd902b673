package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/infra/internal/local"
	"github.com/tidegate/tidegate/infra/internal/story"
)

// stopTime bounds the stop, whatever hangs.
const stopTime = 5 * time.Second

func isHelp(err error) bool { return errors.Is(err, flag.ErrHelp) }

// run starts a deployment in a folder that stays, and tells the story until ctx ends.
func run(ctx context.Context, args []string, out io.Writer) error {
	fs := newFlags("run", out)
	dir := fs.String("dir", ".run", "folder for buckets, state, logs, secrets and tenants; it is made if it is not there")
	port := fs.Int("port", 7400, "first of the ports, all on 127.0.0.1")
	outbox := fs.String("outbox", "", "folder of the provider's bucket (default: one below -dir)")
	inbox := fs.String("inbox", "", "folder of the consumer's bucket (default: one below -dir)")
	bin := fs.String("bin", programDir(), "folder of the programs")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if fs.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", fs.Arg(0))
	}
	layout, err := local.NewLayout(*dir, *port, *outbox, *inbox)
	if err != nil {
		return err
	}
	screen := story.NewScreen(out, layout.Inbox)
	defer screen.Close()
	log := zerolog.New(zerolog.ConsoleWriter{Out: screen, TimeFormat: "15:04:05", NoColor: true}).With().Timestamp().Logger()
	began := time.Now()
	d, teller, err := start(ctx, layout, *bin, screen, log)
	if err != nil {
		return err
	}
	screen.Follow(teller)
	if err := watchTenants(ctx, layout.Tenants(), screen); err != nil {
		return errors.Join(err, d.Stop(ctx))
	}
	_, _ = fmt.Fprintf(screen, banner, time.Since(began).Round(10*time.Millisecond), layout.Outbox, layout.Inbox,
		layout.Tenants(), layout.SandboxURL(), layout.MetricsURL()+"/metrics", layout.Logs())
	<-ctx.Done()
	_, _ = fmt.Fprintln(screen, "stopping…")
	stopCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
	defer cancel()
	return d.Stop(stopCtx)
}

const banner = `Tidegate is ready after %v.

  copy files into   %s   (the provider's bucket)
  they arrive in    %s   (the consumer's bucket)

  tenants           %s   (change them while this runs)
  sandbox           %s
  metrics           %s
  logs              %s

Ctrl-C stops it; what is under way goes on when it is started again.

`

// start prepares and starts a deployment whose story goes to out.
func start(ctx context.Context, layout local.Layout, bin string, out io.Writer, log zerolog.Logger) (*local.Deployment, *story.Teller, error) {
	secret, err := local.Prepare(layout, bin)
	if err != nil {
		return nil, nil, err
	}
	teller := story.NewTeller(out, secret.Check)
	d, err := local.Start(ctx, layout, secret, local.Options{BinDir: bin, Teller: teller, Log: log})
	return d, teller, err
}

// programDir is the folder of this program: the others are beside it.
func programDir() string {
	exe, err := os.Executable()
	if err != nil {
		return "bin"
	}
	return filepath.Dir(exe)
}
