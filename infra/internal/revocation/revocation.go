// Package revocation measures how fast an open stream of data ends once its transfer is suspended.
package revocation

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// warmUp is how much of a stream must have come before it is suspended, in bytes: it is well under way then.
const warmUp = 256 << 10

// Cut is how one stream ended.
type Cut struct {
	LastByte time.Duration // from the answer to the suspension to the last byte that came; 0 if none came after it
	End      time.Duration // to when the consumer saw that the stream is broken
	Bytes    int64         // that came after the answer
}

// ErrWhole says that the stream came to its end as if it were whole: the consumer can't see that it was cut.
var ErrWhole = errors.New("the stream ended as if it were whole")

// Measure opens a stream, suspends its flow while it is read as fast as it comes, and tells how it ended. suspend returns when the
// control plane has the answer. A stream that has not ended when ctx does is an error.
func Measure(ctx context.Context, open func(context.Context) (io.ReadCloser, error), suspend func(context.Context) error) (Cut, error) {
	body, err := open(ctx)
	if err != nil {
		return Cut{}, fmt.Errorf("opening the stream: %w", err)
	}
	defer func() { _ = body.Close() }() // broken by now
	stop := context.AfterFunc(ctx, func() { _ = body.Close() })
	defer stop()
	r := &reader{}
	warm, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- r.read(body, warm) }()
	select {
	case <-warm:
	case err := <-ended:
		return Cut{}, fmt.Errorf("the stream ended before it was suspended: %w", orWhole(err))
	}
	if err := suspend(ctx); err != nil {
		return Cut{}, fmt.Errorf("suspending: %w", err)
	}
	answered, before := time.Now(), r.bytes()
	err = <-ended
	switch end := time.Now(); {
	case ctx.Err() != nil:
		return Cut{}, fmt.Errorf("the stream goes on: %w", context.Cause(ctx))
	case err == nil:
		return Cut{}, ErrWhole
	default:
		return Cut{LastByte: max(r.last().Sub(answered), 0), End: max(end.Sub(answered), 0), Bytes: r.bytes() - before}, nil
	}
}

func orWhole(err error) error {
	if err == nil {
		return ErrWhole
	}
	return err
}

// reader reads and remembers when the last byte came.
type reader struct {
	mu sync.Mutex
	n  int64
	at time.Time
}

func (r *reader) read(body io.Reader, warm chan<- struct{}) error {
	buf := make([]byte, 64<<10)
	told := false
	for {
		n, err := body.Read(buf)
		if n > 0 {
			r.mu.Lock()
			r.n, r.at = r.n+int64(n), time.Now()
			enough := r.n >= warmUp
			r.mu.Unlock()
			if enough && !told {
				told = true
				close(warm)
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (r *reader) bytes() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.n
}

func (r *reader) last() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.at
}
