package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/infra/internal/demo"
	"github.com/tidegate/tidegate/infra/internal/local"
	"github.com/tidegate/tidegate/infra/internal/story"
)

// runDemo runs the main job in a folder that goes away, on ports that are free, and reports.
func runDemo(ctx context.Context, args []string, out io.Writer) (err error) {
	fs := newFlags("demo", out)
	from := fs.String("files", "", "folder whose files are taken (default: the demo makes some)")
	bin := fs.String("bin", programDir(), "folder of the programs")
	limit := fs.Duration("limit", 2*time.Minute, "time within which everything must have arrived")
	tell := fs.Bool("v", false, "tell the story of each file")
	keep := fs.Bool("keep", false, "keep the folder with logs and buckets, and say where it is")
	seed := fs.Uint64("seed", 1, "seed of the files that are made")
	if err := fs.Parse(args); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "tidegate-demo-")
	if err != nil {
		return fmt.Errorf("folder: %w", err)
	}
	started := false // before that there is nothing to look at
	defer func() {
		if *keep || err != nil && started {
			_, _ = fmt.Fprintln(out, "buckets and logs are kept in", dir)
			return
		}
		err = errors.Join(err, os.RemoveAll(dir))
	}()
	port, err := local.FreeBasePort()
	if err != nil {
		return err
	}
	layout, err := local.NewLayout(dir, port, "", "")
	if err != nil {
		return err
	}
	staging := filepath.Join(dir, "staging")
	files, err := stage(staging, *from, *seed)
	if err != nil {
		return err
	}
	lines := io.Discard
	if *tell {
		lines = out
	}
	screen := story.NewScreen(lines, layout.Inbox)
	defer screen.Close()
	began := time.Now()
	started = true
	d, teller, err := start(ctx, layout, *bin, screen, zerolog.New(screen).With().Timestamp().Logger())
	if err != nil {
		return err
	}
	screen.Follow(teller)
	ready := time.Since(began)
	limited, cancel := context.WithTimeout(ctx, *limit)
	defer cancel()
	results, err := demo.Run(limited, files, staging, layout.Outbox, layout.Inbox, teller)
	took := time.Since(began) - ready
	stopCtx, done := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
	defer done()
	stopping := time.Now()
	if err = errors.Join(err, d.Stop(stopCtx)); err != nil {
		return err
	}
	screen.Close()
	faults := demo.Print(out, results)
	_, _ = fmt.Fprintf(out, "\nready after %d ms, %d files in %d ms, stopped in %d ms\n",
		ready.Milliseconds(), len(results), took.Milliseconds(), time.Since(stopping).Milliseconds())
	if faults > 0 {
		return fmt.Errorf("%d of %d files are not as they must be", faults, len(results))
	}
	_, _ = fmt.Fprintln(out, "all files are as they must be")
	return nil
}

// stage puts the files of the demo, and the one that must be rejected, into a folder beside the bucket.
func stage(dir, from string, seed uint64) ([]demo.File, error) {
	var files []demo.File
	var err error
	if from == "" {
		files, err = demo.Make(dir, seed)
	} else {
		files, err = demo.Take(from, dir)
	}
	if err != nil {
		return nil, err
	}
	secret, err := demo.Secret(dir)
	return append(files, secret), err
}
