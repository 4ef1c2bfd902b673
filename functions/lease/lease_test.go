package lease_test

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/tidegate/tidegate/functions/internal/gatewaytest"
	"github.com/tidegate/tidegate/functions/lease"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/problem"
)

func record(g *gatewaytest.Gateway, d time.Duration) lease.Record[gatewayapi.Push] {
	return lease.Record[gatewayapi.Push]{
		Gateway: g.Client, ParticipantContextID: "pc", Kind: gatewayapi.KindPush, ID: "f", Time: d, Now: time.Now,
		Hold:  func(p *gatewayapi.Push) (*string, *time.Time) { return &p.LeaseOwner, &p.LeaseUntil },
		Stamp: func(p *gatewayapi.Push, now time.Time) { p.UpdatedAt = now },
	}
}

func stored(t *testing.T, g *gatewaytest.Gateway) (gatewayapi.Push, string) {
	t.Helper()
	var p gatewayapi.Push
	rev, err := g.Client.Get(t.Context(), "pc", gatewayapi.KindPush, "f", &p)
	if err != nil && !problem.Is(err, problem.NotFound) {
		t.Fatal(err)
	}
	return p, rev
}

var fresh = gatewayapi.Push{ID: "f", DatasetID: "d"}

func TestOneOfManyGetsTheLease(t *testing.T) {
	g := gatewaytest.New(t)
	var work sync.WaitGroup
	errs := make(chan error, 16)
	for range 16 {
		work.Go(func() {
			_, err := lease.Claim(t.Context(), record(g, time.Minute), fresh, "")
			errs <- err
		})
	}
	work.Wait()
	got := 0
	for range 16 {
		err := <-errs
		if err == nil {
			got++
		} else if !problem.Is(err, problem.Unavailable) {
			t.Errorf("refused with %v", err)
		}
	}
	if got != 1 {
		t.Fatalf("%d have the lease", got)
	}
	doc, rev := stored(t, g)
	_, err := lease.Claim(t.Context(), record(g, time.Minute), doc, rev)
	if e, ok := errors.AsType[*problem.Error](err); !ok || e.RetryAfter <= 0 {
		t.Errorf("the next is told %v, want when to come again", err)
	}
}

func TestADeadOwnersLeaseIsTakenOverAndTheDeadOneFindsOut(t *testing.T) {
	g := gatewaytest.New(t)
	first, err := lease.Claim(t.Context(), record(g, time.Millisecond), fresh, "")
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(5 * time.Millisecond) // the lease runs out
	doc, rev := stored(t, g)
	second, err := lease.Claim(t.Context(), record(g, time.Minute), doc, rev)
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Save(t.Context(), func(p *gatewayapi.Push) { p.Slices = 7 }); !errors.Is(err, lease.ErrLost) {
		t.Errorf("the first writes: %v", err)
	}
	if _, err := second.Release(t.Context(), func(p *gatewayapi.Push) { p.Slices = 2 }); err != nil {
		t.Fatal(err)
	}
	if doc, _ := stored(t, g); doc.Slices != 2 || doc.LeaseOwner != "" {
		t.Errorf("stored %+v", doc)
	}
}

func TestAWriteWhoseAnswerIsLostIsNotTakenForAnothers(t *testing.T) {
	g := gatewaytest.New(t)
	l, err := lease.Claim(t.Context(), record(g, time.Minute), fresh, "")
	if err != nil {
		t.Fatal(err)
	}
	g.Fail(func(method, _ string) gatewaytest.Fault {
		if method == http.MethodPut {
			return gatewaytest.After
		}
		return gatewaytest.None
	})
	if err := l.Save(t.Context(), func(p *gatewayapi.Push) { p.Slices = 1 }); err == nil {
		t.Fatal("the answer was not lost")
	}
	g.Fail(func(string, string) gatewaytest.Fault { return gatewaytest.None })
	if err := l.Save(t.Context(), func(p *gatewayapi.Push) { p.Slices = 2 }); err != nil {
		t.Errorf("the next write: %v", err)
	}
}

func TestASliceEndsWhenTheLeaseIsLostOrTheWorkIsOver(t *testing.T) {
	over := errors.New("over")
	for name, c := range map[string]struct {
		alive func(context.Context) error
		steal bool
		want  error
	}{
		"stolen": {func(context.Context) error { return nil }, true, lease.ErrLost},
		"over":   {func(context.Context) error { return over }, false, over},
	} {
		t.Run(name, func(t *testing.T) {
			g := gatewaytest.New(t)
			l, err := lease.Claim(t.Context(), record(g, 30*time.Millisecond), fresh, "")
			if err != nil {
				t.Fatal(err)
			}
			if c.steal {
				g.Put(t, "pc", gatewayapi.KindPush, "f", gatewayapi.Push{ID: "f", DatasetID: "d", LeaseOwner: "other", LeaseUntil: time.Now().Add(time.Minute)})
			}
			slice, end := context.WithCancelCause(t.Context())
			defer end(nil)
			stop := l.Keep(slice, end, func(*gatewayapi.Push) {}, c.alive)
			defer stop()
			select {
			case <-slice.Done():
			case <-time.After(time.Minute):
				t.Fatal("the slice goes on")
			}
			if got := context.Cause(slice); !errors.Is(got, c.want) {
				t.Errorf("ended by %v, want %v", got, c.want)
			}
		})
	}
}
