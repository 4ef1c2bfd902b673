package main

import (
	"fmt"
	"testing"
	"time"

	"github.com/tidegate/tidegate/eventing/catalogue"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/management"
	"github.com/tidegate/tidegate/shared/problem"
)

func TestWhatNoEventToldOfIsFoundByTheSchedule(t *testing.T) {
	b := newBench(t, "watch")
	b.asks("open-small", "small")
	b.asks("open-secret", "secret")
	b.asks("concluded", "members")
	b.plane.Conclude("concluded", map[string]any{"membership": "active"})
	b.asks("terminated", "small")
	b.plane.SetNegotiation("terminated", "TERMINATED", "")
	b.reconcile()
	for id, want := range map[string]gatewayapi.Verdict{
		"open-small": gatewayapi.Approved, "open-secret": gatewayapi.Rejected, "concluded": gatewayapi.Approved, "terminated": "",
	} {
		if d := b.decision(id); d.Verdict != want {
			t.Errorf("%s is decided %q, want %q", id, d.Verdict, want)
		}
	}
	if b.agreement("concluded").Verdict != gatewayapi.Approved {
		t.Error("the agreement has no decision")
	}
	if _, ok := b.plane.Terminated("open-secret"); !ok {
		t.Error("what is rejected is not terminated")
	}
	if got := b.sink.Once(t, catalogue.NegotiationDecided); len(got) != 3 {
		t.Errorf("told of %d decisions", len(got))
	}
	writes := b.gateway.Writes()
	b.reconcile()
	if b.gateway.Writes() != writes || len(b.sink.Once(t, catalogue.NegotiationDecided)) != 3 {
		t.Error("the second time it did something again")
	}
}

func TestARejectionThatWasRecordedAndNotCarriedOutIsCarriedOut(t *testing.T) {
	b := newBench(t, "watch")
	b.asks("n1", "secret")
	b.plane.Refuse("TerminateNegotiation", problem.New(problem.Unavailable, "down"))
	_ = b.tell(catalogue.NegotiationRequested, catalogue.Negotiation{NegotiationID: "n1"}) // and it is never delivered again
	b.plane.Refuse("TerminateNegotiation", nil)
	if b.decision("n1").Verdict != gatewayapi.Rejected {
		t.Fatal("no decision was recorded")
	}
	b.reconcile()
	if _, ok := b.plane.Terminated("n1"); !ok {
		t.Error("it is still open")
	}
}

func TestOneThatCantBeJudgedDoesNotKeepTheOthersFromIt(t *testing.T) {
	b := newBench(t, "watch")
	b.asks("older", "small")
	b.clock.Advance(time.Second)
	b.asks("broken", "small")
	b.plane.Conclude("broken", nil)
	b.plane.Refuse("NegotiationAgreement", problem.New(problem.Upstream, "it answers 500 for this one"))
	b.reconcile()
	if d := b.decision("older"); d.Verdict != gatewayapi.Approved {
		t.Errorf("the one behind it is %+v", d)
	}
}

func TestTheLookGoesBackOverAllRecentOnesAndThenStops(t *testing.T) {
	b := newBench(t, "watch")
	b.asks("lost-long-ago", "small")
	b.clock.Advance(time.Hour)
	for i := range settledInARow + 5 {
		b.settledOne(fmt.Sprintf("old-%d", i))
	}
	b.clock.Advance(time.Hour)
	b.asks("lost-just-now", "small")
	for i := range settledInARow + 5 {
		b.settledOne(fmt.Sprintf("new-%d", i))
	}
	b.reconcile()
	if b.decision("lost-just-now").Verdict != gatewayapi.Approved {
		t.Error("one that began just now is not found behind many that are settled")
	}
	if b.decision("lost-long-ago").Verdict != "" {
		t.Error("the look goes back over everything that ever was")
	}
}

func (b *bench) settledOne(id string) {
	b.plane.AddNegotiation(management.Negotiation{ID: id, Type: provider, State: "TERMINATED", CounterPartyID: consumer, AssetID: "small"})
}
