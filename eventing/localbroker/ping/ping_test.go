package ping

import (
	"errors"
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/eventing/localbroker/delivery"
	"github.com/tidegate/tidegate/eventing/localbroker/manifest"
)

// acceptor keeps what it is given; what is in waiting waits.
type acceptor struct {
	got     []*event.Event
	waiting map[uint64]bool
	err     error
}

func (a *acceptor) Accept(_ manifest.Name, in *delivery.Incoming) (uint64, error) {
	if a.err != nil {
		return 0, a.err
	}
	a.got = append(a.got, in.Event)
	return uint64(len(a.got)), nil
}

func (a *acceptor) Outstanding(seq uint64) bool { return a.waiting[seq] }

func newSource(t *testing.T, a Acceptor, p manifest.Ping) (*Runner, *source) {
	t.Helper()
	p.Name = manifest.Name{Namespace: "ns", Name: "p"}
	if p.Schedule == "" {
		p.Schedule = "0 0 1 1 *"
	}
	r, err := New([]manifest.Ping{p}, a, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	return r, r.sources[0]
}

func TestATickIsAnEventAsKnativeMakesIt(t *testing.T) {
	a := &acceptor{}
	_, s := newSource(t, a, manifest.Ping{ContentType: "application/json", Data: []byte(`{"a":1}`), Extensions: map[string]string{"schedule": "sweep"}})
	s.tick()
	s.tick()
	if len(a.got) != 2 || a.got[0].ID() == a.got[1].ID() {
		t.Fatalf("%v", a.got)
	}
	e := a.got[0]
	if e.Type() != EventType || e.Source() != "/apis/v1/namespaces/ns/pingsources/p" || string(e.Data()) != `{"a":1}` || e.DataContentType() != "application/json" {
		t.Errorf("%v", e)
	}
	if diff := cmp.Diff(map[string]any{"schedule": "sweep"}, e.Extensions()); diff != "" {
		t.Error(diff)
	}
}

func TestNoTickWhileOneWaitsAndTheNextOnceItIsTaken(t *testing.T) {
	a := &acceptor{waiting: map[uint64]bool{1: true}}
	r, s := newSource(t, a, manifest.Ping{})
	s.tick()
	s.tick()
	s.tick()
	if len(a.got) != 1 || r.Skipped() != 2 {
		t.Errorf("%d ticks, %d left out; want 1 and 2", len(a.got), r.Skipped())
	}
	delete(a.waiting, 1)
	s.tick()
	if len(a.got) != 2 {
		t.Errorf("%d ticks after the first was taken, want 2", len(a.got))
	}
}

func TestATickThatCouldNotBeStoredDoesNotStopTheNext(t *testing.T) {
	a := &acceptor{err: errors.New("disk full")}
	_, s := newSource(t, a, manifest.Ping{})
	s.tick()
	a.err = nil
	s.tick()
	if len(a.got) != 1 {
		t.Errorf("%d ticks, want 1", len(a.got))
	}
}
