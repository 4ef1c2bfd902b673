package main

import (
	"context"
	"errors"
	"io"
	"time"
)

// errStalled ends a connection on which nothing comes any more.
var errStalled = errors.New("the provider sends nothing")

// watched reads a body, counts its bytes, remembers its error, and ends the request when no byte comes for a while: a TCP
// connection to a peer that has vanished stays open for hours.
type watched struct {
	r      io.Reader
	stall  time.Duration
	cancel context.CancelCauseFunc
	count  func(n int)

	timer *time.Timer
	n     int64
	err   error // what ended it, unless that is the end of the body
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
		w.n += int64(n)
		w.count(n)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		w.err = err
	}
	return n, err
}
