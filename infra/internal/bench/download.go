package bench

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// downloadTime bounds one download.
const downloadTime = 5 * time.Minute

// downloads reads the same file over so many connections at once and returns mebibytes per second, all together.
func downloads(ctx context.Context, connections int, addr, path, authorization string, size int64) (float64, error) {
	var (
		all    sync.WaitGroup
		faults = make([]error, connections)
		began  = time.Now()
	)
	for i := range faults {
		all.Go(func() { faults[i] = download(ctx, addr, path, authorization, size, io.Discard) })
	}
	all.Wait()
	return float64(size) * float64(connections) / (1 << 20) / time.Since(began).Seconds(), errors.Join(faults...)
}

// download reads a file of a known size over a connection of its own.
func download(ctx context.Context, addr, path, authorization string, size int64, to io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, downloadTime)
	defer cancel()
	c, err := dial(ctx, addr)
	if err != nil {
		return err
	}
	defer c.close()
	defer context.AfterFunc(ctx, c.close)()
	if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: %s\r\nAuthorization: %s\r\n\r\n", path, addr, authorization); err != nil {
		return fmt.Errorf("sending: %w", err)
	}
	res, err := http.ReadResponse(c.r, nil)
	if err != nil {
		return fmt.Errorf("the answer: %w", err)
	}
	defer func() { _ = res.Body.Close() }() // read to its end
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %d", addr, res.StatusCode)
	}
	n, err := io.CopyBuffer(onlyWriter{to}, res.Body, make([]byte, 256<<10))
	if err != nil || n != size {
		return fmt.Errorf("read %d of %d bytes: %w", n, size, err)
	}
	return nil
}

// onlyWriter hides what else a writer can do, so that the given buffer is used.
type onlyWriter struct{ io.Writer }

// verify reads a dataset once through the gateway and compares its digest: what is wrong need not be measured.
func (w *world) verify(ctx context.Context, s *served) error {
	hash := sha256.New()
	if err := download(ctx, w.public, s.path, s.authorization, s.dataset.Size, hash); err != nil {
		return fmt.Errorf("reading %s: %w", s.dataset.Key, err)
	}
	if got := hex.EncodeToString(hash.Sum(nil)); got != s.dataset.SHA256 {
		return fmt.Errorf("%s: the gateway sent bytes with the digest %s, not %s", s.dataset.Key, got, s.dataset.SHA256)
	}
	return nil
}
