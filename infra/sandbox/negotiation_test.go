package sandbox_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidegate/tidegate/infra/sandbox/config"
)

// vetoer is a blocking callback that refuses whom it is told to.
type vetoer struct {
	*httptest.Server

	mu     sync.Mutex
	refuse func(payload map[string]any) bool
	asked  []string // participant contexts
}

func newVetoer(t *testing.T) *vetoer {
	t.Helper()
	v := &vetoer{}
	v.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var envelope struct{ Payload map[string]any }
		_ = json.NewDecoder(r.Body).Decode(&envelope)
		v.mu.Lock()
		defer v.mu.Unlock()
		pc, _ := envelope.Payload["participantContextId"].(string)
		v.asked = append(v.asked, pc)
		if v.refuse != nil && v.refuse(envelope.Payload) {
			w.WriteHeader(http.StatusForbidden)
		}
	}))
	t.Cleanup(v.Close)
	return v
}

func (v *vetoer) veto(c *config.Config) {
	c.Callbacks = []config.Callback{{Alias: "veto", URI: v.URL, Events: []string{"contract.negotiation.requested"}, Transactional: true, Timeout: 5 * time.Second}}
}

func TestABlockingCallbackVetoesANegotiation(t *testing.T) {
	v := newVetoer(t)
	v.refuse = func(p map[string]any) bool { return p["participantContextId"] == "provider" }
	w := newWorld(t, v.veto)
	w.publish("asset-1", nil)
	id := w.negotiate(w.offer("asset-1"))
	w.reach("consumer", "contractnegotiations", id, "TERMINATED")
	detail := w.get("consumer", "contractnegotiations", id)["errorDetail"].(string)
	if !strings.Contains(detail, "code=500") {
		t.Errorf("errorDetail %q", detail)
	}
	rows := w.query("provider", "contractnegotiations", "", nil)
	if len(rows) != w.cfg.Delays.Retries {
		t.Errorf("%d provider rows, want one per attempt: %d", len(rows), w.cfg.Delays.Retries)
	}
	for _, r := range rows {
		if r["state"] != "REQUESTED" {
			t.Errorf("provider row in %v", r["state"])
		}
	}
	if got := w.sink.classes("provider", "ContractNegotiation"); len(got) != 0 {
		t.Errorf("events of a vetoed negotiation: %v", got)
	}
}

func TestTheCallbackIsAskedOnBothSides(t *testing.T) {
	v := newVetoer(t)
	w := newWorld(t, v.veto)
	w.publish("asset-1", nil)
	w.agree("asset-1")
	v.mu.Lock()
	defer v.mu.Unlock()
	if d := cmp.Diff([]string{"provider", "consumer"}, v.asked); d != "" {
		t.Error(d)
	}
}

func TestAVetoThatIsWithdrawnLetsTheRetryPass(t *testing.T) {
	v := newVetoer(t)
	n := 0
	v.refuse = func(p map[string]any) bool {
		if p["participantContextId"] == "provider" {
			n++
		}
		return p["participantContextId"] == "provider" && n == 1
	}
	w := newWorld(t, v.veto)
	w.publish("asset-1", nil)
	w.agree("asset-1")
	if got := len(w.query("provider", "contractnegotiations", "state", "FINALIZED")); got != 1 {
		t.Errorf("%d finalized provider negotiations", got)
	}
	if got := len(w.query("provider", "contractagreements", "", nil)); got != 1 {
		t.Errorf("%d agreements", got)
	}
}

func TestAProvidersTerminateStaysTerminatingAndIsNotTold(t *testing.T) {
	w := newWorld(t, func(c *config.Config) { c.Delays.Step = 300 * time.Millisecond })
	w.publish("asset-1", nil)
	id := w.negotiate(w.offer("asset-1"))
	w.reach("consumer", "contractnegotiations", id, "REQUESTED")
	provider := w.other("contractnegotiations", id)
	w.must(204, "provider-app", "POST", "/participants/provider/contractnegotiations/"+provider+"/terminate", doc("TerminateNegotiation", map[string]any{"@id": provider, "reason": "rejected by a person"}))
	w.reach("provider", "contractnegotiations", provider, "TERMINATING")
	time.Sleep(2 * w.cfg.Delays.Step) // the agreement would be under way by now
	if s := w.get("provider", "contractnegotiations", provider)["state"]; s != "TERMINATING" {
		t.Errorf("provider is %v", s)
	}
	if s := w.get("consumer", "contractnegotiations", id)["state"]; s != "REQUESTED" {
		t.Errorf("consumer is %v", s)
	}
}

func TestAFinalizedNegotiationCannotBeTerminatedOrDeleted(t *testing.T) {
	w := newWorld(t, nil)
	w.publish("asset-1", nil)
	id := w.negotiate(w.offer("asset-1"))
	w.reach("consumer", "contractnegotiations", id, "FINALIZED")
	p := "/participants/consumer/contractnegotiations/" + id
	if s, text := w.send(w.as("consumer-app"), "POST", p+"/terminate", doc("TerminateNegotiation", nil)); s != 500 || text != "" {
		t.Errorf("terminate: %d %q, want 500 and no body", s, text)
	}
	if s, text := w.send(w.as("consumer-app"), "DELETE", p, nil); s != 409 || !strings.Contains(text, "ObjectConflict") {
		t.Errorf("delete: %d %s", s, text)
	}
}

func TestOffersThatAreNotTheProvidersAreRefused(t *testing.T) {
	w := newWorld(t, nil)
	w.publish("asset-1", map[string]any{"permission": []any{map[string]any{"action": "use"}}})
	for name, change := range map[string]func(map[string]any){
		"another policy":  func(o map[string]any) { o["permission"] = []any{map[string]any{"action": "distribute"}} },
		"another target":  func(o map[string]any) { o["target"] = "asset-2" },
		"an invented id":  func(o map[string]any) { o["@id"] = "offer" },
		"no rules at all": func(o map[string]any) { delete(o, "permission") },
		"a foreign offer": func(o map[string]any) { o["@id"] = "bm9wZQ==:YXNzZXQtMQ==:eA==" },
	} {
		t.Run(name, func(t *testing.T) {
			o := w.offer("asset-1")
			change(o)
			id := w.negotiate(o)
			w.reach("consumer", "contractnegotiations", id, "TERMINATED")
			if d := w.get("consumer", "contractnegotiations", id)["errorDetail"].(string); !strings.Contains(d, "code=400") || !strings.Contains(d, "Contract offer is not valid: ") {
				t.Errorf("errorDetail %q", d)
			}
		})
	}
	if n := len(w.query("provider", "contractnegotiations", "", nil)); n != 0 {
		t.Errorf("%d provider rows of refused requests", n)
	}
}

func TestTheAccessPolicyHidesADataset(t *testing.T) {
	w := newWorld(t, func(c *config.Config) {
		c.CELExpressions = []config.CELExpression{{ID: "x", LeftOperand: "https://example.com/partner", Expression: "ctx.agent.id == this.rightOperand", Scopes: []string{"catalog"}}}
	})
	w.publish("asset-1", nil)
	set := func(partner string) {
		w.must(204, "provider-app", "PUT", "/participants/provider/policydefinitions/access-asset-1", doc("PolicyDefinition", map[string]any{"@id": "access-asset-1", "policy": map[string]any{
			"@type": "Set", "permission": []any{map[string]any{"action": "use", "constraint": []any{map[string]any{"leftOperand": "https://example.com/partner", "operator": "eq", "rightOperand": partner}}}},
		}}))
	}
	catalog := func() int {
		d := w.must(200, "consumer-app", "POST", "/participants/consumer/catalog/request", doc("CatalogRequest", map[string]any{
			"profile": profile, "counterPartyAddress": w.address("provider"), "counterPartyId": "provider-id",
		})).(map[string]any)
		return len(d["dataset"].([]any))
	}
	set("somebody-else")
	if n := catalog(); n != 0 {
		t.Errorf("%d datasets for one who is no partner", n)
	}
	set("consumer-id")
	if n := catalog(); n != 1 {
		t.Errorf("%d datasets for a partner", n)
	}
}

func TestSelectorsOnPrivatePropertiesAndCatalogPaging(t *testing.T) {
	w := newWorld(t, nil)
	w.publish("seed", nil)
	p := "/participants/provider"
	for i := range 5 {
		w.must(200, "provider-app", "POST", p+"/assets", doc("Asset", map[string]any{
			"@id": fmt.Sprintf("a%d", i), "properties": map[string]any{"name": fmt.Sprintf("file %d", i)}, "privateProperties": map[string]any{"tidegateOffer": fmt.Sprintf("offer-%d", i%2)},
		}))
	}
	w.must(200, "provider-app", "POST", p+"/contractdefinitions", doc("ContractDefinition", map[string]any{
		"@id": "cd-private", "accessPolicyId": "access-seed", "contractPolicyId": "contract-seed",
		"assetsSelector": []any{map[string]any{"@type": "Criterion", "operandLeft": "privateProperties.'https://w3id.org/edc/v0.0.1/ns/tidegateOffer'", "operator": "=", "operandRight": "offer-0"}},
	}))
	ids := func(spec map[string]any) []string {
		body := map[string]any{"profile": profile, "counterPartyAddress": w.address("provider"), "counterPartyId": "provider-id"}
		if spec != nil {
			body["querySpec"] = spec
		}
		out := []string{}
		d := w.must(200, "consumer-app", "POST", "/participants/consumer/catalog/request", doc("CatalogRequest", body)).(map[string]any)
		for _, x := range d["dataset"].([]any) {
			m := x.(map[string]any)
			out = append(out, m["@id"].(string))
			if _, leaked := m["edc:tidegateOffer"]; leaked {
				t.Error("a private property is in the catalog")
			}
		}
		return out
	}
	if d := cmp.Diff([]string{"seed", "a0", "a2", "a4"}, ids(nil)); d != "" {
		t.Error(d)
	}
	one := map[string]any{"@type": "QuerySpec", "filterExpression": []any{map[string]any{"@type": "Criterion", "operandLeft": "https://w3id.org/edc/v0.0.1/ns/id", "operator": "=", "operandRight": "a2"}}}
	if d := cmp.Diff([]string{"a2"}, ids(one)); d != "" {
		t.Error(d)
	}
}
