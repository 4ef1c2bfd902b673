package misbehave

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidegate/tidegate/infra/sandbox/config"
)

func fates(seed uint64) (calls []Fault, events []EventFate) {
	i := New()
	i.Set("p", config.Misbehaviour{
		Seed: seed, Slow: config.Range{MinMS: 1, MaxMS: 9}, ErrorRate: .3, ErrorAfterRate: .3, LoseEvents: .2, DuplicateEvents: .4, ReorderEvents: .5,
	})
	for range 200 {
		calls = append(calls, i.Call("p"))
		events = append(events, i.Event("p"))
	}
	return calls, events
}

func TestTheSameSeedMeansTheSameFate(t *testing.T) {
	c1, e1 := fates(7)
	c2, e2 := fates(7)
	if d := cmp.Diff(c1, c2); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(e1, e2); d != "" {
		t.Error(d)
	}
	if c3, _ := fates(8); cmp.Equal(c1, c3) {
		t.Error("another seed gives the same faults")
	}
}

func TestRatesAreMet(t *testing.T) {
	c, e := fates(1)
	before, lost := 0, 0
	for n := range c {
		if c[n].Before {
			before++
		}
		if e[n].Lost {
			lost++
		}
		if d := c[n].Delay.Milliseconds(); d < 1 || d > 9 {
			t.Errorf("delay %v", c[n].Delay)
		}
	}
	if before < 40 || before > 80 || lost < 20 || lost > 60 {
		t.Errorf("of 200: %d errors at rate .3, %d lost events at rate .2", before, lost)
	}
}

func TestTheFirstCallbacksOfEachProcessAreRefused(t *testing.T) {
	i := New()
	i.Set("p", config.Misbehaviour{RefuseCallbacks: 2})
	var got []bool
	for _, process := range []string{"a", "a", "b", "a", "b", "b"} {
		got = append(got, i.RefuseCallback("p", process))
	}
	if d := cmp.Diff([]bool{true, true, true, false, true, false}, got); d != "" {
		t.Error(d)
	}
	if i.RefuseCallback("other", "a") {
		t.Error("another participant is refused too")
	}
}

func TestOtherParticipantsAreSpared(t *testing.T) {
	i := New()
	i.Set("p", config.Misbehaviour{ErrorRate: 1, LoseEvents: 1})
	if f := i.Call("q"); f != (Fault{}) {
		t.Errorf("%+v", f)
	}
}
