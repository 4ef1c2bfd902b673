package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/google/go-cmp/cmp"

	"github.com/tidegate/tidegate/eventing/catalogue"
	"github.com/tidegate/tidegate/functions/internal/eventtest"
	"github.com/tidegate/tidegate/functions/internal/gatewaytest"
	"github.com/tidegate/tidegate/shared/eventsig"
	"github.com/tidegate/tidegate/shared/function"
	"github.com/tidegate/tidegate/shared/function/functiontest"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/management"
	"github.com/tidegate/tidegate/shared/problem"
)

var update = flag.Bool("update", false, "write the golden files anew")

// running starts the function of a bench.
func (b *bench) running(t *testing.T) *functiontest.Function {
	t.Helper()
	return functiontest.Start(t, b.gateway.URL, "", nil, func(svc *function.Service) {
		b.handler.gateway, b.handler.publish, b.handler.log = svc.Gateway(), svc.Publish, svc.Logger()
		svc.HandleEvents(b.handler.Handle)
		svc.Handle("POST "+gatewayapi.PathVeto, b.handler.vetoRoute())
		svc.Handle("POST "+gatewayapi.PathDecide, b.handler.decideRoute())
	})
}

func post(t *testing.T, f *functiontest.Function, path, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, f.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	res := f.Do(t, req)
	defer func() { _ = res.Body.Close() }()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(answer)
}

// exchange is what a golden file holds: the question, the answer, and what was told.
type exchange struct {
	Status int               `json:"status"`
	Answer any               `json:"answer,omitempty"`
	Told   []json.RawMessage `json:"told,omitempty"`
}

func golden(t *testing.T, name string, got exchange) {
	t.Helper()
	b, err := json.MarshalIndent(got, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	b = append(b, '\n')
	file := filepath.Join("testdata", name+".golden.json")
	if *update {
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(b)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}

// answered is an answer without what is another each time.
func answered(t *testing.T, code int, body string) exchange {
	t.Helper()
	out := exchange{Status: code}
	if body == "" {
		return out
	}
	var m map[string]any
	if err := json.Unmarshal([]byte(body), &m); err != nil {
		t.Fatalf("%d %s: %v", code, body, err)
	}
	if code >= 400 {
		delete(m, "id")
	}
	out.Answer = m
	return out
}

func (e *exchange) told(t *testing.T, events []event.Event) {
	t.Helper()
	for _, ev := range events {
		eventtest.Check(t, &ev)
		ev.SetTime(time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC))
		ev.SetExtension(catalogue.ExtTraceParent, nil)
		ev.SetExtension(eventsig.Extension, nil)
		b, err := json.Marshal(ev)
		if err != nil {
			t.Fatal(err)
		}
		e.Told = append(e.Told, b)
	}
}

func TestTheVetosAnswers(t *testing.T) {
	question := func(id, dataset string) string {
		return `{"participantContextId":"provider","negotiationId":"` + id + `","counterPartyId":"` + consumer + `","counterPartyAddress":"` + address +
			`","offers":[{"id":"first","assetId":"secret","policy":{}},{"id":"o1","assetId":"` + dataset + `","policy":{"permissions":[{"action":{"type":"use"}}]}}]}`
	}
	for _, tt := range []struct{ name, mode, body string }{
		{"veto-approved", "veto", question("n1", "small")},
		{"veto-rejected", "veto", question("n1", "secret")},
		{"veto-review", "veto", question("n1", "person")},
		{"veto-withdrawn", "veto", question("n1", "gone")},
		{"veto-not-ours", "veto", question("n1", "unknown")},
		{"veto-watch-mode-lets-pass", "watch", question("n1", "secret")},
		{"veto-unknown-tenant", "veto", strings.Replace(question("n1", "small"), "provider", "nobody", 1)},
		{"veto-no-negotiation", "veto", question("", "small")},
		{"veto-no-dataset", "veto", question("n1", "")},
		{"veto-no-offers", "veto", `{"participantContextId":"provider","negotiationId":"n1","counterPartyId":"x","offers":[]}`},
		{"veto-newer-gateway", "veto", strings.Replace(question("n1", "small"), `{`, `{"hurry":true,`, 1)},
		{"veto-no-json", "veto", `{"participantContextId":`},
		{"veto-too-large", "veto", `"` + strings.Repeat("x", maxRequest) + `"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, tt.mode)
			f := b.running(t)
			code, body := post(t, f, gatewayapi.PathVeto, tt.body)
			got := answered(t, code, body)
			got.told(t, f.Sink.Events())
			golden(t, tt.name, got)
			again, body2 := post(t, f, gatewayapi.PathVeto, tt.body)
			if diff := cmp.Diff(answered(t, code, body), answered(t, again, body2)); diff != "" {
				t.Errorf("asked again it answers otherwise (-first +again):\n%s", diff)
			}
		})
	}
}

func TestTheAnswersToAGatewayThatHoldsAStart(t *testing.T) {
	question := func(agreement, dataset, counterparty string) string {
		return `{"participantContextId":"provider","agreementId":"` + agreement + `","datasetId":"` + dataset + `","counterPartyId":"` + counterparty + `","claims":{"membership":"active"}}`
	}
	for _, tt := range []struct{ name, body string }{
		{"decide-approved", question("agreement-of-small", "small", consumer)},
		{"decide-rejected", question("agreement-of-secret", "secret", consumer)},
		{"decide-review", question("agreement-of-person", "person", consumer)},
		{"decide-by-claims", question("agreement-of-members", "members", consumer)},
		{"decide-unknown-agreement", question("agreement-of-nothing", "small", consumer)},
		{"decide-another-dataset", question("agreement-of-small", "secret", consumer)},
		{"decide-another-counterparty", question("agreement-of-small", "small", "did:web:other.example")},
		{"decide-as-consumer", question("agreement-of-bought", "small", consumer)},
		{"decide-no-dataset-of-ours", question("agreement-of-unknown", "unknown", consumer)},
		{"decide-no-agreement", question("", "small", consumer)},
		{"decide-unknown-tenant", strings.Replace(question("agreement-of-small", "small", consumer), "provider", "nobody", 1)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, "watch")
			for _, id := range []string{"small", "secret", "person", "members", "unknown"} {
				b.asks(id, id)
				b.plane.Conclude(id, nil)
			}
			b.plane.AddNegotiation(management.Negotiation{ID: "bought", Type: "CONSUMER", State: "VERIFIED", CounterPartyID: consumer, AssetID: "small"})
			b.plane.Conclude("bought", nil)
			f := b.running(t)
			code, body := post(t, f, gatewayapi.PathDecide, tt.body)
			got := answered(t, code, body)
			got.told(t, f.Sink.Events())
			golden(t, tt.name, got)
			if code != http.StatusOK {
				return
			}
			var d gatewayapi.Decision
			if err := json.Unmarshal([]byte(body), &d); err != nil {
				t.Fatal(err)
			}
			record, ok := gatewaytest.Record[gatewayapi.Decision](t, b.gateway, pc, gatewayapi.KindDecision, d.ID)
			if diff := cmp.Diff(d, record, cmp.Comparer(func(a, b json.RawMessage) bool { return bytes.Equal(a, b) })); !ok || diff != "" {
				t.Errorf("the record is another than the answer (-answer +record):\n%s", diff)
			}
		})
	}
}

// TestAnAgreementOfAnotherControlPlaneIsJudgedByWhatThatOneTells: the Management API of the tenant's document is not asked, though it knows an
// agreement of the same id.
func TestAnAgreementOfAnotherControlPlaneIsJudgedByWhatThatOneTells(t *testing.T) {
	question := func(dataset, told, assigner, assignee string) string {
		return `{"participantContextId":"provider","agreementId":"agreement-of-small","datasetId":"` + dataset + `","counterPartyId":"` + consumer + `","claims":{"membership":"active"},` +
			`"agreement":{"id":"agreement-of-small","datasetId":"` + told + `","providerId":"` + assigner + `","consumerId":"` + assignee + `","policy":{"permission":[{"action":"use","constraint":[]}]}}}`
	}
	for _, tt := range []struct{ name, body string }{
		{"told-approved", question("small", "small", "did:web:provider.example", consumer)},
		{"told-rejected", question("secret", "secret", "did:web:provider.example", consumer)},
		{"told-review", question("person", "person", "did:web:provider.example", consumer)},
		{"told-by-claims", question("members", "members", "did:web:provider.example", consumer)},
		{"told-another-dataset", question("small", "secret", "did:web:provider.example", consumer)},
		{"told-another-counterparty", question("small", "small", "did:web:provider.example", "did:web:other.example")},
		{"told-another-provider", question("small", "small", "did:web:other.example", consumer)},
		{"told-no-dataset-of-ours", question("unknown", "unknown", "did:web:provider.example", consumer)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, "watch")
			b.asks("small", "small")
			b.plane.Conclude("small", nil)
			for _, call := range []string{"GetAsset", "AgreementNegotiation", "NegotiationAgreement", "GetNegotiation"} {
				b.plane.Refuse(call, problem.New(problem.Internal, "it is asked"))
			}
			f := b.running(t)
			code, body := post(t, f, gatewayapi.PathDecide, tt.body)
			got := answered(t, code, body)
			got.told(t, f.Sink.Events())
			golden(t, tt.name, got)
			again, body2 := post(t, f, gatewayapi.PathDecide, tt.body)
			if diff := cmp.Diff(answered(t, code, body), answered(t, again, body2)); diff != "" {
				t.Errorf("asked again it answers otherwise (-first +again):\n%s", diff)
			}
		})
	}
}

func TestNoFaultOfOursIsTakenForAVerdict(t *testing.T) {
	body := `{"participantContextId":"provider","negotiationId":"n1","counterPartyId":"x","offers":[{"id":"o1","assetId":"small","policy":{}}]}`
	for kind, want := range map[problem.Kind]int{
		problem.Unauthenticated: http.StatusServiceUnavailable,
		problem.Forbidden:       http.StatusServiceUnavailable,
		problem.Upstream:        http.StatusBadGateway,
		problem.Timeout:         http.StatusGatewayTimeout,
	} {
		b := newBench(t, "veto")
		b.plane.Refuse("GetAsset", problem.New(kind, "the management API says no"))
		b.plane.Refuse("AgreementNegotiation", problem.New(kind, "the management API says no"))
		f := b.running(t)
		if code, answer := post(t, f, gatewayapi.PathVeto, body); code != want {
			t.Errorf("%v: the veto answers %d %s, want %d", kind, code, answer, want)
		}
		if code, answer := post(t, f, gatewayapi.PathDecide, `{"participantContextId":"provider","agreementId":"a1"}`); code != want {
			t.Errorf("%v: the decision answers %d %s, want %d", kind, code, answer, want)
		}
		if b.gateway.Writes() != 0 {
			t.Errorf("%v: something was decided", kind)
		}
	}
}

func TestAVetoIsNotHeldUpByABrokerThatIsDown(t *testing.T) {
	b := newBench(t, "veto")
	f := b.running(t)
	f.Sink.Answer(503, 503, 503, 503, 503, 503, 503, 503)
	start := time.Now()
	code, _ := post(t, f, gatewayapi.PathVeto, `{"participantContextId":"provider","negotiationId":"n1","counterPartyId":"x","offers":[{"id":"o1","assetId":"small","policy":{}}]}`)
	if code != http.StatusNoContent || time.Since(start) > publishTime+8*time.Second {
		t.Errorf("it answers %d after %v", code, time.Since(start))
	}
	if b.decision("n1").Verdict != gatewayapi.Approved {
		t.Error("the decision does not stand")
	}
}

func TestAPersonsApprovalLetsTheNextNegotiationPassTheVeto(t *testing.T) {
	b := newBench(t, "veto")
	f := b.running(t)
	ask := func(id string) int {
		code, _ := post(t, f, gatewayapi.PathVeto, `{"participantContextId":"provider","negotiationId":"`+id+`","counterPartyId":"`+consumer+`","offers":[{"id":"o1","assetId":"person","policy":{}}]}`)
		return code
	}
	if code := ask("n1"); code != http.StatusForbidden {
		t.Fatalf("what is for a person to decide is answered with %d", code)
	}
	b.clock.Advance(time.Minute)
	code, reply := f.Send(t, b.verdict("n1", "approved", "alice"))
	if code != http.StatusOK || reply == nil || reply.Type() != catalogue.NegotiationDecided {
		t.Fatalf("the verdict is answered with %d %v", code, reply)
	}
	eventtest.Check(t, reply)
	if code := ask("n2"); code != http.StatusNoContent {
		t.Errorf("the next negotiation is answered with %d", code)
	}
	if code := ask("n1"); code != http.StatusNoContent { // EDC asks again for one that was refused
		t.Errorf("the same negotiation, asked again, is answered with %d", code)
	}
}

func TestTheRoutesWantTheInternalToken(t *testing.T) {
	f := newBench(t, "veto").running(t)
	for _, path := range []string{gatewayapi.PathVeto, gatewayapi.PathDecide, "/"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, f.URL+path, strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s without a token is answered with %d", path, res.StatusCode)
		}
	}
}
