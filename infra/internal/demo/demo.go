// Package demo runs the main job without a person: files go into a provider's bucket, and each must arrive in the consumer's
// with the same content, but for the one that the rules must reject.
package demo

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/tidegate/tidegate/infra/internal/story"
)

// poll is the time between two looks at the consumer's bucket.
const poll = 50 * time.Millisecond

// Run moves the files from staging into the outbox, waits until each has arrived or was rejected, and returns what became of
// them. It returns when all is as it must be, or when ctx ends.
func Run(ctx context.Context, files []File, staging, outbox, inbox string, teller *story.Teller) ([]Result, error) {
	results := make([]Result, len(files))
	for i, f := range files {
		to := filepath.Join(outbox, filepath.FromSlash(f.Name))
		if err := os.MkdirAll(filepath.Dir(to), 0o750); err != nil {
			return nil, err
		}
		if err := os.Rename(filepath.Join(staging, filepath.FromSlash(f.Name)), to); err != nil {
			return nil, err
		}
		results[i] = Result{File: f, Dropped: time.Now()}
	}
	for {
		open, err := look(results, inbox, teller)
		if err != nil {
			return nil, err
		}
		if !open {
			return results, nil
		}
		select {
		case <-ctx.Done():
			return results, nil // the faults in the results say what is missing
		case <-time.After(poll):
		}
	}
}

// look brings the results up to date; open tells whether something is still missing.
func look(results []Result, inbox string, teller *story.Teller) (open bool, err error) {
	byName := map[string]story.Track{}
	for _, tr := range teller.Tracks() {
		byName[tr.Name] = tr
	}
	for i := range results {
		r := &results[i]
		r.Track = byName[r.Name]
		if r.Arrived == "" || r.Arrived != r.SHA256 {
			_, sum, err := Digest(filepath.Join(inbox, filepath.FromSlash(r.Name)))
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return false, err
			}
			r.Arrived = sum
			if err != nil {
				r.Arrived = ""
			}
		}
		r.Fault = ""
		r.judge()
		if r.Fault != "" || !r.Reject && r.Track.Delivered.IsZero() {
			open = true
		}
	}
	return open, nil
}
