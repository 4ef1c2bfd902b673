package slices_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate/tidegate/functions/slices"
)

func TestASliceEndsAfterItsTimeOrWhenTheProcessDrains(t *testing.T) {
	for name, tt := range map[string]struct {
		drainAfter time.Duration
		whole      bool
		ends       time.Duration
		cause      error
	}{
		"after its time":          {time.Hour, false, 20 * time.Second, slices.ErrOver},
		"when the process drains": {5 * time.Second, false, 5 * time.Second, slices.ErrOver},
		"whole, with the caller":  {time.Hour, true, time.Minute, context.DeadlineExceeded},
		"whole, and it drains":    {30 * time.Second, true, 30 * time.Second, slices.ErrOver},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				draining := make(chan struct{})
				time.AfterFunc(tt.drainAfter, func() { close(draining) })
				began := time.Now()
				slice, bound := slices.Begin(ctx, 20*time.Second, draining)
				if tt.whole {
					bound.Whole()
				}
				<-slice.Done()
				if d := time.Since(began); d != tt.ends || !errors.Is(slices.Cause(slice, slice.Err()), tt.cause) {
					t.Errorf("ended after %v: %v", d, slices.Cause(slice, slice.Err()))
				}
				if slices.Cause(slice, nil) != nil {
					t.Error("work that is done has no cause of an end")
				}
				bound.End(nil)
			})
		})
	}
}

func TestAConnectionOnWhichNothingMovesIsEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		defer cancel(nil)
		total := 0
		w := &slices.Watched{Body: strings.NewReader("abc"), Stall: 30 * time.Second, Cancel: cancel, Count: func(n int) { total += n }}
		stop := w.Watch()
		time.Sleep(20 * time.Second)
		if _, err := w.Read(make([]byte, 2)); err != nil { // what moves begins the time anew
			t.Fatal(err)
		}
		time.Sleep(20 * time.Second)
		if ctx.Err() != nil {
			t.Error("ended although something had moved")
		}
		<-ctx.Done()
		if n, err := w.Seen(); n != 2 || total != 2 || err != nil || !errors.Is(context.Cause(ctx), slices.ErrStalled) {
			t.Errorf("%d bytes, %d counted, %v, %v", n, total, err, context.Cause(ctx))
		}
		stop()
	})
}
