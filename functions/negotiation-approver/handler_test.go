package main

import (
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidegate/tidegate/eventing/catalogue"
	"github.com/tidegate/tidegate/functions/rules"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/management"
	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/tenant"
)

func TestANegotiationThatTheControlPlaneTellsOfIsDecidedAndTheDecisionCarriedOut(t *testing.T) {
	for _, tt := range []struct {
		name, mode, dataset string
		want                gatewayapi.Verdict
		rule                string
		terminated          bool
	}{
		{"a rule approves", "watch", "small", gatewayapi.Approved, "small", false},
		{"a rule rejects", "watch", "secret", gatewayapi.Rejected, "secrets-stay", true},
		{"a later rule rejects", "watch", "large", gatewayapi.Rejected, "not-too-large", true},
		{"a rule leaves it to a person", "watch", "person", gatewayapi.Review, "person", false},
		{"the rule looks at claims, which are not told yet", "watch", "members", "", "", false},
		{"the dataset has been withdrawn", "watch", "gone", gatewayapi.Rejected, rules.RuleDefault, true},
		{"no dataset of ours", "watch", "unknown", "", "", false},
		{"no rule matches", "veto", "members", gatewayapi.Review, rules.RuleDefault, false},
		{"a control plane that does not ask for a veto", "veto", "secret", gatewayapi.Rejected, "secrets-stay", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, tt.mode)
			b.asks("n1", tt.dataset)
			for range 2 { // the second changes nothing
				b.told(catalogue.NegotiationRequested, "n1")
			}
			d := b.decision("n1")
			if d.Verdict != tt.want || d.Rule != tt.rule {
				t.Errorf("decided %q by %q, want %q by %q", d.Verdict, d.Rule, tt.want, tt.rule)
			}
			reason, terminated := b.plane.Terminated("n1")
			if terminated != tt.terminated || reason != strings.TrimSpace(reason) || (terminated && reason != d.Reason) {
				t.Errorf("terminated is %v with %q, want %v with %q", terminated, reason, tt.terminated, d.Reason)
			}
			events := b.sink.Once(t, catalogue.NegotiationDecided)
			if tt.want == "" {
				if len(events) > 0 {
					t.Errorf("nothing was decided, and %v told", events)
				}
				return
			}
			if len(events) != 1 || events[0].Subject() != "n1" {
				t.Fatalf("told: %v", events)
			}
			if d.DatasetID != tt.dataset || d.CounterPartyID != consumer || d.By != byRules || d.Mode != tt.mode || !d.DecidedAt.Equal(b.clock.Now()) {
				t.Errorf("the record is %+v", d)
			}
			var in rules.Input
			if err := json.Unmarshal(d.Input, &in); err != nil || in.CounterParty.Address != address || in.Asset.Name != tt.dataset+".csv" {
				t.Errorf("what the rules saw is kept as %s (%v)", d.Input, err)
			}
		})
	}
}

func TestAnOfferThatNobodyShowsIsTheOneOfTheTenantsDocument(t *testing.T) {
	b := newBench(t, "watch")
	strict := map[string]any{"permission": []any{map[string]any{"action": "use", "constraint": []any{map[string]any{"leftOperand": "purpose"}}}}}
	b.tenant.Policies = []tenant.Policy{{Name: "open"}, {Name: "strict", Contract: strict}}
	b.tenant.Publish = []tenant.PublishRule{{Name: "other", Bucket: "out", Policy: "open"}, {Name: "all", Bucket: "out", Policy: "strict"}}
	b.tenant.Approve.Rules = []tenant.Rule{{Name: "strict-only", When: "offer.permission.exists(p, has(p.constraint))", Then: "approve"}}
	b.asks("n1", "small")
	b.told(catalogue.NegotiationRequested, "n1")
	if d := b.decision("n1"); d.Rule != "strict-only" {
		t.Errorf("the rules saw %s", d.Input)
	}
}

func TestNegotiationsThatAreNotOursToDecide(t *testing.T) {
	b := newBench(t, "watch")
	b.plane.AddNegotiation(management.Negotiation{ID: "n1", Type: "CONSUMER", State: "REQUESTED", AssetID: "secret", CounterPartyID: consumer})
	for _, eventType := range []string{catalogue.NegotiationRequested, catalogue.NegotiationFinalized} {
		b.told(eventType, "n1")
		b.told(eventType, "refused-and-gone")
	}
	b.reconcile()
	if b.gateway.Writes() != 0 {
		t.Error("something was decided")
	}
}

func TestTheAgreementGetsTheNegotiationsDecision(t *testing.T) {
	for _, tt := range []struct {
		name, mode, dataset string
		claims              map[string]any
		want                gatewayapi.Verdict
		rule, reason        string
	}{
		{"approved", "watch", "small", nil, gatewayapi.Approved, "small", ""},
		{"rejected too late", "watch", "secret", nil, gatewayapi.Rejected, "secrets-stay", "secrets are not shared" + late},
		{"the claims decide", "watch", "members", map[string]any{"membership": "active"}, gatewayapi.Approved, "members", "a member"},
		{"a claim is missing", "watch", "members", map[string]any{}, gatewayapi.Review, "members", "rule members can't be evaluated"},
		{"nothing is told of claims", "watch", "members", nil, gatewayapi.Review, "members", "rule members can't be evaluated"},
		{"in veto mode", "veto", "small", nil, gatewayapi.Approved, "small", ""},
		{"the claims say no", "watch", "members", map[string]any{"membership": "lapsed"}, gatewayapi.Review, rules.RuleDefault, "no rule matched"},
	} {
		for _, requestedFirst := range []bool{true, false} {
			t.Run(tt.name, func(t *testing.T) {
				b := newBench(t, tt.mode)
				b.asks("n1", tt.dataset)
				if requestedFirst && tt.want != gatewayapi.Rejected {
					b.told(catalogue.NegotiationRequested, "n1")
				}
				b.plane.Conclude("n1", tt.claims)
				b.told(catalogue.NegotiationFinalized, "n1")
				b.told(catalogue.NegotiationRequested, "n1")
				b.told(catalogue.NegotiationFinalized, "n1")
				d := b.agreement("n1")
				if d.Verdict != tt.want || d.Rule != tt.rule || !strings.HasPrefix(d.Reason, tt.reason) || d.NegotiationID != "n1" || d.AgreementID != "agreement-of-n1" {
					t.Errorf("the agreement's decision is %+v", d)
				}
				if n := b.decision("n1"); n.Verdict != tt.want || n.Rule != tt.rule || n.AgreementID != "" {
					t.Errorf("the negotiation's decision is %+v", n)
				}
				for _, e := range b.sink.Once(t, catalogue.NegotiationDecided) {
					data, err := catalogue.Data[catalogue.Decided](&e)
					if err != nil || data.Verdict != string(tt.want) {
						t.Errorf("told: %+v, %v", data, err)
					}
				}
			})
		}
	}
}

func TestAWithdrawalBetweenDecisionAndAgreementLeavesTheDecision(t *testing.T) {
	b := newBench(t, "veto")
	b.asks("n1", "small")
	b.told(catalogue.NegotiationRequested, "n1")
	b.gateway.Put(t, pc, gatewayapi.KindDataset, "small", gatewayapi.Dataset{ID: "small", Key: "small.csv", Withdrawn: true})
	b.plane.Conclude("n1", nil)
	b.told(catalogue.NegotiationFinalized, "n1")
	if d := b.agreement("n1"); d.Verdict != gatewayapi.Approved {
		t.Errorf("a decision that was made changed afterwards: %+v", d) // the gateway starts nothing of a withdrawn dataset
	}
}

func TestATerminationThatFails(t *testing.T) {
	for _, tt := range []struct {
		name  string
		kind  problem.Kind
		state string
		again bool
	}{
		{"a step of the control plane holds it", problem.Conflict, "AGREEING", true},
		{"the control plane is in trouble", problem.Upstream, "AGREEING", true},
		{"it is out of reach", problem.Unavailable, "AGREEING", true},
		{"it was concluded meanwhile", problem.Upstream, "FINALIZED", false},
		{"it was terminated meanwhile", problem.Conflict, "TERMINATED", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, "watch")
			b.asks("n1", "secret")
			b.plane.Refuse("TerminateNegotiation", problem.New(tt.kind, "no"))
			rejected := gatewayapi.Decision{NegotiationID: "n1", Verdict: gatewayapi.Rejected}
			b.plane.SetNegotiation("n1", tt.state, "")
			err := terminate(t.Context(), b.plane, &rejected)
			if again := problem.Is(err, problem.Unavailable); again != tt.again || (!again && err != nil) {
				t.Errorf("got %v, want it to come again: %v", err, tt.again)
			}
			if !tt.again {
				return
			}
			if err := b.tell(catalogue.NegotiationRequested, catalogue.Negotiation{NegotiationID: "n1"}); !problem.Is(err, problem.Unavailable) {
				t.Errorf("the event is answered with %v", err)
			}
			b.plane.Refuse("TerminateNegotiation", nil)
			b.told(catalogue.NegotiationRequested, "n1")
			if _, ok := b.plane.Terminated("n1"); !ok {
				t.Error("the redelivery does not terminate it")
			}
		})
	}
}

func TestAVerdictHoldsForCounterpartyAndDataset(t *testing.T) {
	for _, verdict := range []gatewayapi.Verdict{gatewayapi.Approved, gatewayapi.Rejected} {
		for _, on := range []string{"the negotiation", "the agreement"} {
			t.Run(string(verdict)+" on "+on, func(t *testing.T) {
				b := newBench(t, "watch")
				b.asks("n1", "person")
				b.told(catalogue.NegotiationRequested, "n1")
				b.plane.Conclude("n1", nil)
				b.told(catalogue.NegotiationFinalized, "n1")
				id := "n1"
				if on == "the agreement" {
					id = gatewayapi.AgreementRecordID("agreement-of-n1")
				}
				b.clock.Advance(time.Hour)
				e := b.verdict(id, string(verdict), "alice")
				for range 2 {
					if err := b.handle(e); err != nil {
						t.Fatal(err)
					}
				}
				for name, d := range map[string]gatewayapi.Decision{"negotiation": b.decision("n1"), "agreement": b.agreement("n1")} {
					if d.Verdict != verdict || d.By != "alice" || d.Rule != rulePerson || !d.DecidedAt.Equal(b.clock.Now()) || len(d.Input) == 0 {
						t.Errorf("the %s's decision is %+v", name, d)
					}
				}
				reason := "alice says so"
				if verdict == gatewayapi.Rejected {
					reason += late
				}
				if n, a := b.decision("n1").Reason, b.agreement("n1").Reason; n != "alice says so" || a != reason {
					t.Errorf("the reasons are %q and %q", n, a)
				}
				b.asks("n2", "person")
				b.told(catalogue.NegotiationRequested, "n2")
				if d := b.decision("n2"); d.Verdict != verdict || d.By != "alice" {
					t.Errorf("the next negotiation is decided %+v", d)
				}
				if _, terminated := b.plane.Terminated("n2"); terminated != (verdict == gatewayapi.Rejected) {
					t.Errorf("the next negotiation is terminated: %v", terminated)
				}
				b.asks("n3", "members") // another dataset is another matter
				b.plane.Conclude("n3", nil)
				b.told(catalogue.NegotiationFinalized, "n3")
				if d := b.agreement("n3"); d.Verdict != gatewayapi.Review {
					t.Errorf("another dataset is decided %+v", d)
				}
			})
		}
	}
}

func TestAVerdictOnAnOpenNegotiation(t *testing.T) {
	b := newBench(t, "watch")
	for _, id := range []string{"n1", "n2"} {
		b.asks(id, "person")
		b.told(catalogue.NegotiationRequested, id)
	}
	if err := b.handle(b.verdict("n1", "rejected", "alice")); err != nil {
		t.Fatal(err)
	}
	if reason, ok := b.plane.Terminated("n1"); !ok || reason != "alice says so" {
		t.Errorf("terminated is %v with %q", ok, reason)
	}
	b.reconcile() // and the other one that waited for the same answer
	if _, ok := b.plane.Terminated("n2"); !ok || b.decision("n2").By != "alice" {
		t.Errorf("another open negotiation about it is %+v", b.decision("n2"))
	}
}

func TestAVerdictThatComesLate(t *testing.T) {
	t.Run("after the rules have decided", func(t *testing.T) {
		b := newBench(t, "watch")
		b.asks("n1", "small")
		b.told(catalogue.NegotiationRequested, "n1")
		writes := b.gateway.Writes()
		if err := b.handle(b.verdict("n1", "rejected", "alice")); err != nil {
			t.Fatal(err)
		}
		if b.decision("n1").Verdict != gatewayapi.Approved || b.gateway.Writes() != writes {
			t.Error("it changed something")
		}
	})
	t.Run("after another person has decided", func(t *testing.T) {
		b := newBench(t, "watch")
		b.asks("n1", "person")
		b.told(catalogue.NegotiationRequested, "n1")
		for _, e := range []struct{ verdict, by string }{{"approved", "alice"}, {"rejected", "bob"}, {"approved", "carol"}} {
			if err := b.handle(b.verdict("n1", e.verdict, e.by)); err != nil {
				t.Fatal(err)
			}
		}
		if d := b.decision("n1"); d.By != "alice" || d.Verdict != gatewayapi.Approved {
			t.Errorf("the first verdict does not hold: %+v", d)
		}
	})
	t.Run("on an agreement, after the control plane forgot everything", func(t *testing.T) {
		b := newBench(t, "watch")
		b.asks("n1", "person")
		b.plane.Conclude("n1", nil)
		b.told(catalogue.NegotiationFinalized, "n1")
		b.plane.Wipe()
		if err := b.handle(b.verdict(b.agreement("n1").ID, "approved", "alice")); err != nil {
			t.Fatal(err)
		}
		if b.agreement("n1").By != "alice" || b.decision("n1").By != "alice" {
			t.Errorf("the agreement is %+v, its negotiation %+v", b.agreement("n1"), b.decision("n1"))
		}
	})
	t.Run("about a decision that is not there", func(t *testing.T) {
		b := newBench(t, "watch")
		if err := b.handle(b.verdict("n9", "approved", "alice")); !problem.Is(err, problem.NotFound) {
			t.Errorf("got %v", err)
		}
	})
}

func TestTheLaterOfTwoStandingVerdictsHoldsInWhateverOrderTheyArrive(t *testing.T) {
	for _, order := range []string{"12", "21", "121", "212"} {
		t.Run(order, func(t *testing.T) {
			b := newBench(t, "watch")
			for _, id := range []string{"n1", "n2"} {
				b.asks(id, "person")
				b.told(catalogue.NegotiationRequested, id)
			}
			first := b.verdict("n1", "approved", "alice")
			b.clock.Advance(time.Minute)
			second := b.verdict("n2", "rejected", "bob")
			for _, which := range order {
				e := first
				if which == '2' {
					e = second
				}
				if err := b.handle(e); err != nil {
					t.Fatal(err)
				}
			}
			b.asks("n3", "person")
			b.told(catalogue.NegotiationRequested, "n3")
			if d := b.decision("n3"); d.By != "bob" || d.Verdict != gatewayapi.Rejected {
				t.Errorf("the next negotiation is decided %s by %s", d.Verdict, d.By)
			}
		})
	}
}

func TestEventsThatCanNeverBeHandledAndOnesThatCanLater(t *testing.T) {
	b := newBench(t, "watch")
	b.asks("n1", "small")
	b.asks("n2", "small")
	b.plane.SetNegotiation("n2", "TERMINATED", "")
	refusing := func(call string, kind problem.Kind, do func() error) func() error {
		return func() error {
			b.plane.Refuse(call, problem.New(kind, "no"))
			defer b.plane.Refuse(call, nil)
			return do()
		}
	}
	tell := func(eventType string, data any) func() error { return func() error { return b.tell(eventType, data) } }
	for _, tt := range []struct {
		name string
		do   func() error
		want problem.Kind
	}{
		{"another function's event", tell(catalogue.ObjectCreated, catalogue.Object{}), problem.Unprocessable},
		{"no negotiation", tell(catalogue.NegotiationRequested, catalogue.Negotiation{}), problem.Invalid},
		{"no negotiation either", tell(catalogue.NegotiationFinalized, catalogue.Negotiation{}), problem.Invalid},
		{"data of another shape", tell(catalogue.NegotiationRequested, []int{1}), problem.Invalid},
		{"no verdict", tell(catalogue.VerdictGiven, catalogue.Verdict{DecisionID: "n1", Verdict: "review", By: "alice"}), problem.Invalid},
		{"nobody's verdict", tell(catalogue.VerdictGiven, catalogue.Verdict{DecisionID: "n1", Verdict: "approved"}), problem.Invalid},
		{"a verdict on nothing", tell(catalogue.VerdictGiven, catalogue.Verdict{Verdict: "approved", By: "alice"}), problem.Invalid},
		{"finalized, and the agreement is not there yet", tell(catalogue.NegotiationFinalized, catalogue.Negotiation{NegotiationID: "n1"}), problem.Unavailable},
		{"our token is not accepted", refusing("GetNegotiation", problem.Unauthenticated, tell(catalogue.NegotiationRequested, catalogue.Negotiation{NegotiationID: "n1"})), problem.Unavailable},
		{"our scope is too small", refusing("GetAsset", problem.Forbidden, tell(catalogue.NegotiationRequested, catalogue.Negotiation{NegotiationID: "n1"})), problem.Unavailable},
		{"the control plane fails", refusing("GetNegotiation", problem.Upstream, tell(catalogue.NegotiationRequested, catalogue.Negotiation{NegotiationID: "n1"})), problem.Upstream},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := tt.do(); !problem.Is(err, tt.want) {
				t.Errorf("got %v, want the kind %v", err, tt.want)
			}
		})
	}
	b.told(catalogue.NegotiationFinalized, "n2") // it came to nothing after all
	if b.gateway.Writes() != 0 {
		t.Error("something was decided")
	}
}

func TestTooLongTextsDoNotKeepADecisionFromBeingWritten(t *testing.T) {
	b := newBench(t, "watch")
	b.tenant.Approve.Rules[0].Reason = strings.Repeat("ä", 5000)
	b.asks("n1", "secret")
	b.plane.AddAsset(&management.Asset{ID: "secret", Properties: map[string]any{"title": strings.Repeat("x", 2*maxInput)}})
	b.told(catalogue.NegotiationRequested, "n1")
	d := b.decision("n1")
	if d.Verdict != gatewayapi.Rejected || len(d.Reason) > maxReason || strings.Trim(d.Reason, "ä") != "" || len(d.Input) > 100 || !strings.Contains(string(d.Input), "omitted") {
		t.Errorf("reason of %d bytes, input %.80s", len(d.Reason), d.Input)
	}
}

func TestVetoEventAndQuestionAtTheSameTimeMakeOneDecision(t *testing.T) {
	for range 20 {
		b := newBench(t, "watch")
		b.asks("n1", "members")
		b.plane.Conclude("n1", map[string]any{"membership": "active"})
		var work sync.WaitGroup
		for range 3 {
			work.Go(func() { b.told(catalogue.NegotiationRequested, "n1") })
			work.Go(func() { b.told(catalogue.NegotiationFinalized, "n1") })
			work.Go(b.reconcile)
		}
		work.Wait()
		if n := b.gateway.Writes(); n != 2 {
			t.Fatalf("%d records were written, want the negotiation's and the agreement's", n)
		}
		if b.agreement("n1").Verdict != gatewayapi.Approved {
			t.Fatalf("%+v", b.agreement("n1"))
		}
		if got := b.sink.Once(t, catalogue.NegotiationDecided); len(got) != 1 {
			t.Fatalf("told %d different events", len(got))
		}
	}
}
