package slices

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"
)

// ErrStalled ends a connection on which nothing moves any more.
var ErrStalled = errors.New("the connection has stalled")

// Watched reads a body, counts its bytes, remembers its error, and ends the request when nothing moves for a while, or no answer comes:
// a TCP connection to a peer that has vanished stays open for hours. An HTTP transport may still read a request's body when the
// answer is there.
type Watched struct {
	Body   io.Reader
	Stall  time.Duration
	Cancel context.CancelCauseFunc // of the request
	Count  func(n int)

	timer *time.Timer

	mu    sync.Mutex
	bytes int64
	err   error // what ended it, unless that is the end of the body
}

// Watch begins to watch; the function that it returns ends that.
func (w *Watched) Watch() (stop func()) {
	w.timer = time.AfterFunc(w.Stall, func() { w.Cancel(ErrStalled) })
	return func() { w.timer.Stop() }
}

func (w *Watched) Read(b []byte) (int, error) {
	n, err := w.Body.Read(b)
	if n > 0 {
		w.timer.Reset(w.Stall)
		w.Count(n)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.bytes += int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		w.err = err
	}
	return n, err
}

// Seen is how many bytes were read, and the error of the body.
func (w *Watched) Seen() (bytes int64, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.bytes, w.err
}
