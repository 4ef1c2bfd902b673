package main

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/tidegate/tidegate/eventing/catalogue"
	"github.com/tidegate/tidegate/functions/internal/gatewaytest"
	"github.com/tidegate/tidegate/shared/dps"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/management"
	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/tenant"
)

func TestADatasetIsNegotiatedTransferredAndDelivered(t *testing.T) {
	b := newBench(t)
	b.offer(dataset("d1", "berlin.csv", "one"))
	b.tick(0)
	r := b.supply("d1")
	if r.State != gatewayapi.SupplyNegotiating || r.NegotiationID != "negotiation-1" {
		t.Fatalf("after the first look: %+v", r)
	}
	b.plane.Conclude("negotiation-1", nil)
	if err := b.tell(catalogue.NegotiationFinalized, catalogue.Negotiation{NegotiationID: "negotiation-1", DatasetID: "d1"}); err != nil {
		t.Fatal(err)
	}
	r = b.supply("d1")
	if r.State != gatewayapi.SupplyTransferring || r.AgreementID != "agreement-of-negotiation-1" || !strings.HasPrefix(r.TransferProcessID, pc+"-") {
		t.Fatalf("after the agreement: %+v", r)
	}
	want := gatewayapi.Delivery{ID: r.TransferProcessID, DatasetID: "d1", Sink: "inbox", Key: "weather/berlin.csv", Size: 3, SHA256: digest("one")}
	if diff := cmp.Diff(want, b.plan(r.TransferProcessID), cmpopts.IgnoreFields(gatewayapi.Delivery{}, "UpdatedAt")); diff != "" {
		t.Errorf("the plan of the delivery (-want +got):\n%s", diff)
	}
	b.deliver()
	if err := b.tell(catalogue.ObjectDelivered, catalogue.Delivered{DataFlowID: r.TransferProcessID, DatasetID: "d1", SHA256: digest("one")}); err != nil {
		t.Fatal(err)
	}
	if r = b.supply("d1"); r.State != gatewayapi.SupplyDelivered || r.DeliveredVersion != digest("one") || r.Attempts != 0 {
		t.Errorf("after the delivery: %+v", r)
	}
	if got := b.sink.Once(t, catalogue.NegotiationInitiated); len(got) != 1 {
		t.Errorf("negotiation.initiated was told of %d negotiations", len(got))
	}
	if got := b.sink.Once(t, catalogue.TransferRequested); len(got) != 1 || got[0].Subject() != r.TransferProcessID {
		t.Errorf("transfer.requested was told of %v", got)
	}
}

func TestNothingIsDoneTwice(t *testing.T) {
	b := newBench(t)
	b.offer(dataset("d1", "berlin.csv", "one"))
	b.supplied("d1")
	record, writes := b.supply("d1"), b.gateway.Writes()
	for range 3 {
		b.tick(time.Minute)
		for eventType, data := range map[string]any{
			catalogue.NegotiationFinalized:  catalogue.Negotiation{NegotiationID: "negotiation-1"},
			catalogue.NegotiationTerminated: catalogue.Negotiation{NegotiationID: "negotiation-1", DatasetID: "d1"},
			catalogue.TransferTerminated:    catalogue.Transfer{TransferProcessID: record.TransferProcessID, DatasetID: "d1"},
			catalogue.ObjectDelivered:       catalogue.Delivered{DataFlowID: record.TransferProcessID, DatasetID: "d1"},
			catalogue.DataFlowTerminated:    catalogue.DataFlow{DataFlowID: record.TransferProcessID, DatasetID: "d1"},
		} {
			if err := b.tell(eventType, data); err != nil {
				t.Fatalf("%s: %v", eventType, err)
			}
		}
	}
	if len(b.plane.Negotiations()) != 1 || len(b.plane.Transfers()) != 1 || b.gateway.Writes() != writes {
		t.Errorf("late and repeated events made %d negotiations, %d transfers, %d writes", len(b.plane.Negotiations()), len(b.plane.Transfers()), b.gateway.Writes()-writes)
	}
}

func TestVersionsComeUnderOneAgreementWithATransferEach(t *testing.T) {
	b := newBench(t)
	ids := map[string]bool{}
	for i, content := range []string{"one", "two", "one", "three"} {
		b.offer(dataset("d1", "berlin.csv", content))
		b.supplied("d1")
		r := b.supply("d1")
		ids[r.TransferProcessID] = true
		if len(b.plane.Negotiations()) != 1 || len(b.plane.Transfers()) != i+1 || len(ids) != i+1 || r.DeliveredVersion != digest(content) {
			t.Fatalf("version %d: %d negotiations, %d transfers, %+v", i+1, len(b.plane.Negotiations()), len(b.plane.Transfers()), r)
		}
	}
}

func TestADatasetThatLeavesTheCatalogForAWhile(t *testing.T) {
	b := newBench(t)
	one := dataset("d1", "berlin.csv", "one")
	b.offer(one)
	b.tick(0)
	b.plane.Offer()
	b.conclude()
	b.tick(time.Minute)
	b.deliver()
	b.tick(time.Minute)
	if r := b.supply("d1"); r.State != gatewayapi.SupplyDelivered {
		t.Fatalf("what was under way did not end while the dataset was gone: %+v", r)
	}
	b.offer(one)
	b.tick(time.Minute)
	if len(b.plane.Transfers()) != 1 {
		t.Error("the version that was delivered is fetched again when the dataset is back")
	}
	b.offer(dataset("d1", "berlin.csv", "two"))
	b.supplied("d1")
}

func TestBytesThatAreNewerThanTheCatalog(t *testing.T) {
	b := newBench(t)
	b.offer(dataset("d1", "berlin.csv", "one"))
	b.content["d1"] = digest("two")
	b.tick(0)
	b.conclude()
	b.tick(time.Minute)
	b.deliver()
	b.tick(time.Minute) // notes the delivery of "two"
	b.offer(dataset("d1", "berlin.csv", "two"))
	b.tick(time.Minute)
	if n := len(b.plane.Transfers()); n != 1 {
		t.Fatalf("the catalog caught up with what was delivered, and %d transfers were made", n)
	}

	b.offer(dataset("d1", "berlin.csv", "three"))
	b.content["d1"] = digest("four")
	for range 20 { // a catalog that never tells the truth
		b.tick(10 * time.Minute)
		b.conclude()
		b.deliver()
	}
	if n := len(b.plane.Transfers()); n < 2 || n > 1+versionTries {
		t.Errorf("a catalog that never tells the truth made %d transfers", n-1)
	}
}

func TestARefusedNegotiationIsTriedAgainLaterEachTime(t *testing.T) {
	b := newBench(t)
	b.offer(dataset("d1", "berlin.csv", "one"))
	b.tick(0)
	var waits []time.Duration
	for _, state := range []string{"TERMINATED", "TERMINATING", "TERMINATED", "TERMINATED"} {
		open := b.supply("d1").NegotiationID
		b.plane.SetNegotiation(open, state, "the dataset is not for you")
		if err := b.tell(catalogue.NegotiationTerminated, catalogue.Negotiation{NegotiationID: open, DatasetID: "d1"}); err != nil {
			t.Fatal(err)
		}
		r := b.supply("d1")
		if r.State != gatewayapi.SupplyFailed || !strings.Contains(r.LastError, "not for you") {
			t.Fatalf("a refused negotiation is %+v", r)
		}
		waits = append(waits, r.NextAttempt.Sub(b.clock.Now()))
		before := len(b.plane.Negotiations())
		if err := b.handler.advance(t.Context(), b.tenant, 0, "d1", &offering{Dataset: dataset("d1", "berlin.csv", "one"), name: "berlin.csv"}); err != nil {
			t.Fatal(err)
		}
		if len(b.plane.Negotiations()) != before {
			t.Error("the next one began at once")
		}
		b.tick(time.Minute)
		if len(b.plane.Negotiations()) != before+1 {
			t.Error("the next one did not begin in time")
		}
	}
	b.offer(dataset("d1", "berlin.csv", "two"))
	b.plane.SetNegotiation(b.supply("d1").NegotiationID, "TERMINATED", "")
	b.tick(time.Minute)
	b.tick(time.Minute)
	if r := b.supply("d1"); r.Attempts != 0 || r.Version != digest("two") {
		t.Errorf("the failures of one version count for the next: %+v", r)
	}
	if diff := cmp.Diff([]time.Duration{2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second}, waits); diff != "" {
		t.Errorf("waits (-want +got):\n%s", diff)
	}
	b.supplied("d1")
}

func TestAnAgreementThatIsOfNoUseIsReplaced(t *testing.T) {
	b := newBench(t)
	b.offer(dataset("d1", "berlin.csv", "one"))
	b.tick(0)
	b.conclude()
	for range agreementTries {
		b.tick(2 * time.Minute)
		for _, tp := range b.plane.Transfers() {
			b.plane.SetTransfer(tp.ID, "TERMINATED", "the agreement has expired")
		}
		b.tick(time.Minute)
	}
	b.tick(3 * time.Minute)
	if n := len(b.plane.Negotiations()); n != 2 {
		t.Fatalf("after %d transfers that failed there are %d negotiations, want a second one: %+v", agreementTries, n, b.supply("d1"))
	}
	b.supplied("d1")
}

func TestAControlPlaneThatForgotEverything(t *testing.T) {
	for _, tt := range []struct {
		name  string
		until func(b *bench)
	}{
		{"while it negotiated", func(b *bench) { b.tick(0) }},
		{"after the agreement", func(b *bench) {
			b.tick(0)
			b.conclude()
		}},
		{"during the transfer", func(b *bench) {
			b.tick(0)
			b.conclude()
			b.tick(time.Minute)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			b.offer(dataset("d1", "berlin.csv", "one"))
			tt.until(b)
			b.plane.Wipe()
			b.supplied("d1")
		})
	}
}

func TestWhatDoesNotEndIsTerminatedBeforeTheNextBegins(t *testing.T) {
	b := newBench(t)
	b.offer(dataset("d1", "berlin.csv", "one"))
	b.tick(0)
	b.tick(negotiationTime - time.Minute)
	if len(b.plane.Negotiations()) != 1 {
		t.Fatal("it was given up too early")
	}
	b.tick(2 * time.Minute)
	if _, ok := b.plane.Terminated("negotiation-1"); !ok {
		t.Fatal("a negotiation that does not end is not terminated")
	}
	b.tick(time.Minute)
	b.conclude()
	b.tick(time.Minute)
	first := b.supply("d1").TransferProcessID
	b.plane.SetTransfer(first, "SUSPENDED", "")
	b.tick(10 * stallTime)
	if tp, _ := b.plane.GetTransfer(t.Context(), first); tp.State != "SUSPENDED" {
		t.Fatalf("a transfer that somebody has suspended is %s", tp.State)
	}
	b.plane.SetTransfer(first, "STARTED", "")
	b.tick(stallTime + time.Minute)
	if tp, _ := b.plane.GetTransfer(t.Context(), first); tp.State != "TERMINATED" {
		t.Fatalf("a transfer of which nothing is heard is %s", tp.State)
	}
	b.supplied("d1")
}

func TestATransferThatMovesIsNotGivenUp(t *testing.T) {
	b := newBench(t)
	b.offer(dataset("d1", "berlin.csv", "one"))
	b.tick(0)
	b.conclude()
	b.tick(time.Minute)
	id := b.supply("d1").TransferProcessID
	for range 5 {
		d := b.plan(id)
		d.Offset++
		d.UpdatedAt = b.clock.Now()
		b.gateway.Put(t, pc, gatewayapi.KindDelivery, id, d)
		b.tick(stallTime - time.Minute)
	}
	if tp, _ := b.plane.GetTransfer(t.Context(), id); tp.State != "REQUESTED" {
		t.Errorf("it is %s although bytes are moving", tp.State)
	}
}

func TestADeliveryThatIsNotedJustBeforeTheTransferEnds(t *testing.T) {
	for _, state := range []string{"REQUESTED", "STARTED", "COMPLETED", "TERMINATED"} {
		t.Run(state, func(t *testing.T) {
			b := newBench(t)
			b.offer(dataset("d1", "berlin.csv", "one"))
			b.tick(0)
			b.conclude()
			b.tick(time.Minute)
			tp := b.plane.Transfers()[0]
			b.plane.SetTransfer(tp.ID, state, "")
			reads := 0
			b.gateway.Fail(func(method, path string) gatewaytest.Fault {
				if method == "GET" && strings.Contains(path, "/deliveries/") {
					if reads++; reads == 2 { // between the first look at the delivery and the second
						b.gateway.Fail(func(string, string) gatewaytest.Fault { return gatewaytest.None })
						b.arrive(tp)
					}
				}
				return gatewaytest.None
			})
			b.tick(time.Minute)
			if r := b.supply("d1"); r.State == gatewayapi.SupplyFailed {
				t.Errorf("what has arrived counts as failed: %s", r.LastError)
			}
			b.arrive(tp)
			b.supplied("d1")
			if len(b.plane.Transfers()) != 1 {
				t.Error("it was fetched again")
			}
		})
	}
}

func TestALostAnswerToTheStartOfANegotiation(t *testing.T) {
	for _, tt := range []struct {
		name  string
		fault gatewaytest.Fault
	}{{"the request arrived", gatewaytest.After}, {"the request did not arrive", gatewaytest.Before}} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			b.offer(dataset("d1", "berlin.csv", "one"), dataset("d2", "bonn.csv", "one"))
			b.plane.Fail(func(call string) gatewaytest.Fault {
				if call == "StartNegotiation" {
					return tt.fault
				}
				return gatewaytest.None
			})
			b.tick(0)
			b.plane.Fail(func(string) gatewaytest.Fault { return gatewaytest.None })
			b.restart()
			b.supplied("d1")
			b.supplied("d2")
			if n := len(b.plane.Negotiations()); n != 2 {
				t.Errorf("there are %d negotiations for two datasets", n)
			}
			if got := b.sink.Once(t, catalogue.NegotiationInitiated); len(got) != 2 {
				t.Errorf("negotiation.initiated was told of %d", len(got))
			}
		})
	}
}

func TestAnotherTrysNegotiationIsNotAdopted(t *testing.T) {
	b := newBench(t)
	b.offer(dataset("d1", "berlin.csv", "one"))
	b.tick(0)
	b.plane.SetNegotiation("negotiation-1", "TERMINATED", "")
	if err := b.tell(catalogue.NegotiationTerminated, catalogue.Negotiation{NegotiationID: "negotiation-1", DatasetID: "d1"}); err != nil {
		t.Fatal(err)
	}
	b.plane.Refuse("StartNegotiation", problem.New(problem.Unavailable, "down"))
	b.restart()
	b.tick(3 * time.Second)
	b.plane.Refuse("StartNegotiation", nil)
	b.restart()
	b.tick(4 * time.Second)
	if r := b.supply("d1"); r.NegotiationID != "negotiation-2" {
		t.Errorf("after a start that did not arrive the record has %q: %+v", r.NegotiationID, r)
	}
}

func TestTheNegotiationOfAnAgreementThatIsOfNoUseIsNotAdopted(t *testing.T) {
	b := newBench(t)
	b.offer(dataset("d1", "berlin.csv", "one"))
	b.tick(0)
	b.conclude()
	for range agreementTries {
		b.tick(2 * time.Minute)
		for _, tp := range b.plane.Transfers() {
			b.plane.SetTransfer(tp.ID, "TERMINATED", "")
		}
		b.tick(time.Minute)
	}
	b.plane.Refuse("StartNegotiation", problem.New(problem.Unavailable, "down"))
	b.tick(3 * time.Minute)
	b.plane.Refuse("StartNegotiation", nil)
	b.tick(time.Minute)
	if r := b.supply("d1"); r.NegotiationID != "negotiation-2" {
		t.Errorf("the record has %q", r.NegotiationID)
	}
}

func TestWhileAStartIsUnderWayNobodyElseStarts(t *testing.T) {
	b := newBench(t)
	b.offer(dataset("d1", "berlin.csv", "one"))
	other := b.process()
	b.plane.Fail(func(call string) gatewaytest.Fault {
		if call != "StartNegotiation" || len(b.plane.Negotiations()) > 0 {
			return gatewaytest.None
		}
		b.plane.Fail(func(string) gatewaytest.Fault { return gatewaytest.None })
		b.clock.Advance(claimTime - time.Second) // it takes its time, and meanwhile
		if _, err := other.Handle(t.Context(), b.scheduled()); err != nil {
			t.Error(err)
		}
		return gatewaytest.None
	})
	b.tick(0)
	if n := len(b.plane.Negotiations()); n != 1 {
		t.Errorf("%d negotiations were started", n)
	}
}

func TestTheGatewayLosesItsStateWhileANegotiationStarts(t *testing.T) {
	b := newBench(t)
	b.offer(dataset("d1", "berlin.csv", "one"))
	b.plane.Fail(func(call string) gatewaytest.Fault {
		if call == "StartNegotiation" {
			b.gateway.Forget()
			b.plane.Fail(func(string) gatewaytest.Fault { return gatewaytest.None })
		}
		return gatewaytest.None
	})
	b.tick(0)
	b.tick(time.Minute)
	if n := len(b.plane.Negotiations()); n != 1 {
		t.Errorf("%d negotiations were started", n)
	}
	b.conclude()
	b.supplied("d1")
}

func TestOnlyWhatIsWantedOnAcceptableTermsIsNegotiated(t *testing.T) {
	constrained := dataset("d2", "bonn.csv", "x")
	constrained.Offers[0].Policy = map[string]any{"permission": []any{map[string]any{"action": "use", "constraint": []any{map[string]any{"leftOperand": "a"}}}}}
	two := dataset("d3", "essen.csv", "x")
	two.Offers = []management.Offer{
		{ID: "strict", DatasetID: "d3", Policy: constrained.Offers[0].Policy}, {ID: "free", DatasetID: "d3", Policy: two.Offers[0].Policy},
	}
	push := dataset("d4", "ulm.csv", "x")
	push.Distributions = []management.Distribution{{Format: "http-push"}}
	for _, tt := range []struct {
		name, filter string
		dataset      *management.Dataset
		want         gatewayapi.SupplyState
		reason       string
	}{
		{"an offer without constraints", "", dataset("d1", "berlin.csv", "x"), gatewayapi.SupplyNegotiating, ""},
		{"only offers with constraints", "", constrained, gatewayapi.SupplyFailed, "none of the 1 offers of bonn.csv is acceptable"},
		{"one of two offers", "", two, gatewayapi.SupplyNegotiating, ""},
		{"nothing that can be pulled", "", push, gatewayapi.SupplyFailed, "no distribution of the transfer profile " + dps.ProfileHTTPPull},
		{"not what the filter takes", "dataset.name.endsWith('.json')", dataset("d5", "berlin.csv", "x"), "", ""},
		{"a filter that can't be evaluated", "dataset.properties.country == 'DE'", dataset("d6", "berlin.csv", "x"), "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			b.tenant.Subscribe[0].Filter = tt.filter
			b.offer(tt.dataset)
			b.tick(0)
			if r := b.supply(tt.dataset.ID); r.State != tt.want || !strings.Contains(r.LastError, tt.reason) {
				t.Errorf("got %q %q, want %q %q", r.State, r.LastError, tt.want, tt.reason)
			}
		})
	}
}

func TestRefusalsArePutOffAndPassingFaultsAreNot(t *testing.T) {
	for _, tt := range []struct {
		name, call string
		kind       problem.Kind
		want       gatewayapi.SupplyState
	}{
		{"the negotiation is refused", "StartNegotiation", problem.Invalid, gatewayapi.SupplyFailed},
		{"the negotiation's start fails", "StartNegotiation", problem.Upstream, gatewayapi.SupplyNegotiating},
		{"the transfer is refused", "StartTransfer", problem.Conflict, gatewayapi.SupplyFailed},
		{"the transfer's start fails", "StartTransfer", problem.Upstream, gatewayapi.SupplyTransferring},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			b.plane.Refuse(tt.call, problem.New(tt.kind, "the control plane says no"))
			b.offer(dataset("d1", "berlin.csv", "one"))
			b.tick(0)
			b.conclude()
			b.tick(time.Minute)
			if r := b.supply("d1"); r.State != tt.want || !strings.Contains(r.LastError, "the control plane says no") {
				t.Errorf("got %+v, want state %q", r, tt.want)
			}
			b.plane.Refuse(tt.call, nil)
			b.supplied("d1")
		})
	}
}

func TestFaultsOfAnEventAreOfTheRightKind(t *testing.T) {
	b := newBench(t)
	b.offer(dataset("d1", "berlin.csv", "one"))
	b.tick(0)
	finalized := catalogue.Negotiation{NegotiationID: "negotiation-1", DatasetID: "d1"}
	for _, tt := range []struct {
		name   string
		refuse problem.Kind
		do     func() error
		want   problem.Kind
	}{
		{"the control plane is down", problem.Upstream, func() error { return b.tell(catalogue.NegotiationFinalized, finalized) }, problem.Upstream},
		{"our token is not accepted", problem.Unauthenticated, func() error { return b.tell(catalogue.NegotiationFinalized, finalized) }, problem.Unavailable},
		{"our scope is too small", problem.Forbidden, func() error {
			return b.tell(catalogue.NegotiationFinalized, catalogue.Negotiation{NegotiationID: "negotiation-1"})
		}, problem.Unavailable},
		{"an event that is for another function", problem.Internal, func() error { return b.tell(catalogue.DatasetPublished, catalogue.Dataset{DatasetID: "d1"}) }, problem.Unprocessable},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b.plane.Refuse("GetNegotiation", problem.New(tt.refuse, "no"))
			if err := tt.do(); !problem.Is(err, tt.want) {
				t.Errorf("got %v, want the kind %v", err, tt.want)
			}
		})
	}
	e := b.scheduled()
	e.SetType(catalogue.ObjectDelivered)
	if err := b.handle(e); !problem.Is(err, problem.Invalid) {
		t.Errorf("an event without a tenant: %v", err)
	}
	e.SetExtension(catalogue.ExtParticipantContextID, "nobody")
	if err := b.handle(e); !problem.Is(err, problem.Unavailable) {
		t.Errorf("an event of an unknown tenant: %v", err)
	}
}

func TestTwoProcessesMakeOneOfEach(t *testing.T) {
	b := newBench(t)
	const n = 12
	var sets []*management.Dataset
	for i := range n {
		sets = append(sets, dataset(fmt.Sprintf("d%02d", i), fmt.Sprintf("file-%d.csv", i), "one"))
	}
	b.offer(sets...)
	b.gateway.Fail(meeting())
	processes := []*handler{b.process(), b.process(), b.process()}
	for range 6 {
		var work sync.WaitGroup
		for _, p := range processes {
			work.Go(func() {
				if _, err := p.Handle(t.Context(), b.scheduled()); err != nil {
					t.Error(err)
				}
			})
		}
		work.Wait()
		b.conclude()
		b.deliver()
		b.clock.Advance(time.Minute)
	}
	if got := len(b.plane.Negotiations()); got != n {
		t.Errorf("%d negotiations for %d datasets", got, n)
	}
	if got := len(b.plane.Transfers()); got != n {
		t.Errorf("%d transfers for %d datasets", got, n)
	}
	for _, d := range sets {
		if r := b.supply(d.ID); r.State != gatewayapi.SupplyDelivered {
			t.Errorf("%s is %s", d.ID, r.State)
		}
	}
}

// meeting lets every write of a record wait for another one, so that they meet; not for long, since there may be none.
func meeting() func(method, path string) gatewaytest.Fault {
	var mu sync.Mutex
	waiting := map[string]chan struct{}{}
	return func(method, path string) gatewaytest.Fault {
		if method != "PUT" {
			return gatewaytest.None
		}
		mu.Lock()
		if other, ok := waiting[path]; ok {
			delete(waiting, path)
			close(other)
			mu.Unlock()
			return gatewaytest.None
		}
		met := make(chan struct{})
		waiting[path] = met
		mu.Unlock()
		select {
		case <-met:
		case <-time.After(20 * time.Millisecond):
			mu.Lock()
			if waiting[path] == met {
				delete(waiting, path)
			}
			mu.Unlock()
		}
		return gatewaytest.None
	}
}

func TestATenantWhoseControlPlaneHangsLeavesTheOthersTheirTurn(t *testing.T) {
	b := newBench(t)
	other := *b.tenant
	other.ParticipantContextID = "other"
	hangs := b.process()
	hangs.tenants = both{b.tenant, &other}
	release := make(chan struct{})
	hangs.controlPlane = func(t *tenant.Tenant) (controlPlane, error) {
		if t.ParticipantContextID == "other" {
			<-release
		}
		return b.plane, nil
	}
	b.offer(dataset("d1", "berlin.csv", "one"))
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = hangs.Handle(t.Context(), b.scheduled())
	}()
	deadline := time.Now().Add(10 * time.Second)
	for b.supply("d1").NegotiationID == "" && time.Now().Before(deadline) {
		time.Sleep(5 * time.Millisecond)
	}
	if b.supply("d1").NegotiationID == "" {
		t.Error("the tenant waits for another one's control plane")
	}
	close(release)
	<-done
}

type both []*tenant.Tenant

func (b both) Expect(string) (*tenant.Tenant, error) { return b[0], nil }

func (b both) All() []*tenant.Tenant { return b }
