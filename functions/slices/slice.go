package slices

import (
	"context"
	"errors"
	"time"
)

// Closing is the time for the last words of an invocation whose own time is over. Should the lease run out within it, the
// compare-and-set of the record decides.
const Closing = 4 * time.Second

// Why a slice ends although neither the data nor the peer has.
var (
	ErrOver      = errors.New("the slice is over")
	ErrFlowEnded = errors.New("the flow is not started any more")
)

// Slice is the bound of the time in which an invocation moves data.
type Slice struct {
	End   context.CancelCauseFunc // ends it with a cause
	Whole func()                  // gives it all the time that the invocation has
}

// Begin begins a slice of an invocation. Its context ends with ErrOver after its time, or when draining is closed, since the process
// is to end.
func Begin(ctx context.Context, bound time.Duration, draining <-chan struct{}) (context.Context, Slice) {
	slice, end := context.WithCancelCause(ctx)
	timer := time.AfterFunc(bound, func() { end(ErrOver) })
	go func() {
		select {
		case <-draining:
			end(ErrOver)
		case <-slice.Done():
		}
		timer.Stop()
	}()
	return slice, Slice{end, func() { timer.Stop() }}
}

// Cause is why a slice has ended, if err is only how that showed; otherwise it is err.
func Cause(slice context.Context, err error) error {
	if cause := context.Cause(slice); err != nil && cause != nil {
		return cause
	}
	return err
}
