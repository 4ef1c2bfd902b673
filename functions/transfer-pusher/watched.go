package main

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"
)

// errStalled ends a connection on which nothing goes any more.
var errStalled = errors.New("the consumer takes nothing")

// watched reads a body, counts its bytes, remembers its error, and ends the request when no byte goes for a while, or no answer
// comes: a TCP connection to a peer that has vanished stays open for hours. The transport may still read when the answer is there.
type watched struct {
	r      io.Reader
	stall  time.Duration
	cancel context.CancelCauseFunc
	count  func(n int)

	timer *time.Timer

	mu  sync.Mutex
	err error // what ended it, unless that is the end of the body
}

// watch begins to watch; the function that it returns ends that.
func (w *watched) watch() (stop func()) {
	w.timer = time.AfterFunc(w.stall, func() { w.cancel(errStalled) })
	return func() { w.timer.Stop() }
}

func (w *watched) Read(b []byte) (int, error) {
	n, err := w.r.Read(b)
	if n > 0 {
		w.timer.Reset(w.stall)
		w.count(n)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		w.mu.Lock()
		w.err = err
		w.mu.Unlock()
	}
	return n, err
}

// fault is the error of the body.
func (w *watched) fault() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}
