package revocation_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/tidegate/tidegate/infra/internal/revocation"
)

// endless gives zeros until it is told to end, and then a little longer.
type endless struct {
	end  chan struct{}
	late time.Duration
	with error
}

func (e *endless) Read(p []byte) (int, error) {
	select {
	case <-e.end:
		time.Sleep(e.late) // the stream is slow to end
		return 0, e.with
	case <-time.After(time.Millisecond):
		return len(p), nil
	}
}

func (e *endless) Close() error { return nil }

func TestACutIsMeasuredFromTheAnswer(t *testing.T) {
	for name, c := range map[string]struct {
		with error
		want error
	}{
		"a stream that is broken":                {with: io.ErrUnexpectedEOF},
		"a stream that ends as if it were whole": {with: io.EOF, want: revocation.ErrWhole},
	} {
		t.Run(name, func(t *testing.T) {
			e := &endless{end: make(chan struct{}), late: 50 * time.Millisecond, with: c.with}
			cut, err := revocation.Measure(t.Context(), func(context.Context) (io.ReadCloser, error) { return e, nil },
				func(context.Context) error { close(e.end); return nil })
			if !errors.Is(err, c.want) {
				t.Fatal(err)
			}
			if err == nil && (cut.End < 25*time.Millisecond || cut.End > 5*time.Second || cut.LastByte > cut.End) {
				t.Errorf("%+v", cut)
			}
		})
	}
}

func TestAStreamThatIsNotCutIsAnError(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	pr, pw := io.Pipe()
	go func() {
		for {
			if _, err := pw.Write(make([]byte, 64<<10)); err != nil {
				return
			}
		}
	}()
	if _, err := revocation.Measure(ctx, func(context.Context) (io.ReadCloser, error) { return pr, nil }, func(context.Context) error { return nil }); err == nil {
		t.Error("no error")
	}
}
