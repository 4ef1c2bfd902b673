package bench

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// profile records a CPU profile of the gateway, if one was asked for, for about as long as a measurement takes. The result
// waits for its end; a profiled run's figures are a few percent worse.
func (w *world) profile(ctx context.Context, name string) func() error {
	if w.b.Profile == "" {
		return func() error { return nil }
	}
	done := make(chan error, 1)
	go func() {
		done <- fetch(ctx, "http://"+w.metrics+"/debug/pprof/profile?seconds="+strconv.Itoa(int(w.b.load/time.Second)+1),
			filepath.Join(w.b.Profile, name+".pprof"))
	}()
	return func() error { return <-done }
}

func fetch(ctx context.Context, url, file string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fmt.Errorf("profile: %w", err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("profile: %w", err)
	}
	defer func() { _ = res.Body.Close() }() // read to its end
	b, err := io.ReadAll(io.LimitReader(res.Body, 64<<20))
	if err != nil {
		return fmt.Errorf("profile: %w", err)
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("profile: the gateway answered %d: %s", res.StatusCode, b)
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
		return fmt.Errorf("profile: %w", err)
	}
	if err := os.WriteFile(file, b, 0o640); err != nil { //nolint:gosec // a profile is no secret
		return fmt.Errorf("profile: %w", err)
	}
	return nil
}
