package sandbox_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidegate/tidegate/infra/sandbox/config"
)

// ready is a world with both data planes and one agreement.
func ready(t *testing.T, change func(*config.Config)) (w *world, agreement string) {
	t.Helper()
	w = newWorld(t, change)
	w.register("provider")
	w.register("consumer")
	w.publish("asset-1", nil)
	return w, w.agree("asset-1")
}

// started is a transfer in STARTED on both sides.
func (w *world) started(agreement, typ string) (consumer, provider string) {
	w.t.Helper()
	consumer = w.transfer(agreement, typ)
	w.reach("consumer", "transferprocesses", consumer, "STARTED")
	provider = w.other("transferprocesses", consumer)
	w.reach("provider", "transferprocesses", provider, "STARTED")
	return consumer, provider
}

func (w *world) command(pc, id, verb string) {
	w.t.Helper()
	var body any
	switch verb {
	case "suspend":
		body = doc("SuspendTransfer", map[string]any{"reason": "test"})
	case "terminate":
		body = doc("TerminateTransfer", map[string]any{"reason": "because"})
	}
	w.must(204, w.app(pc), "POST", "/participants/"+pc+"/transferprocesses/"+id+"/"+verb, body)
}

func TestPullMessagesAreThoseOfEDC(t *testing.T) {
	w, agreement := ready(t, nil)
	consumer, provider := w.started(agreement, "http-pull")
	own := w.get("provider", "transferprocesses", provider)["contractId"]

	prepare := w.plane.last("consumer prepare").body
	delete(prepare, "messageId")
	want := map[string]any{
		"participantId": "consumer-id", "counterPartyId": "provider-id", "dataspaceContext": profile, "processId": consumer,
		"agreementId": agreement, "datasetId": "asset-1", "callbackAddress": nil, "profile": "http-pull", "labels": []any{},
		"metadata": map[string]any{}, "claims": map[string]any{"client_id": "provider-id"},
	}
	if d := cmp.Diff(want, prepare); d != "" {
		t.Errorf("prepare: %s", d)
	}
	start := w.plane.last("provider start").body
	delete(start, "messageId")
	want = map[string]any{
		"participantId": "provider-id", "counterPartyId": "consumer-id", "dataspaceContext": profile, "processId": provider,
		"agreementId": own, "datasetId": "asset-1", "callbackAddress": nil, "profile": "http-pull", "labels": []any{"l1"},
		"metadata": map[string]any{"path": "/asset-1"}, "claims": map[string]any{"client_id": "consumer-id"},
	}
	if d := cmp.Diff(want, start); d != "" {
		t.Errorf("start: %s", d)
	}
	s := w.plane.last("consumer started")
	if s.path != consumer+"/started" {
		t.Errorf("started at %s", s.path)
	}
	if !strings.Contains(s.raw, `"name":"authorization"`) || !strings.Contains(s.raw, `"name":"https://w3id.org/edc/v0.0.1/ns/type"`) ||
		!strings.Contains(s.raw, `"name":"https://w3id.org/edc/v0.0.1/ns/endpoint"`) {
		t.Errorf("the relayed address lacks properties: %s", s.raw)
	}
}

func TestEveryCallCarriesATokenOfItsOwn(t *testing.T) {
	w, agreement := ready(t, nil)
	w.started(agreement, "http-pull")
	seen := map[string]bool{}
	for _, s := range w.plane.all() {
		if s.token == "" || seen[s.token] {
			t.Errorf("%s %s: token missing or used before", s.pc, s.path)
		}
		seen[s.token] = true
	}
}

func TestDialects(t *testing.T) {
	for name, tc := range map[string]struct {
		dialect, member  string
		callback         bool
		startParticipant string
		startedHasID     bool
		suspendHasID     bool
		claims           bool
		resumed          []string
	}{
		"head": {config.DialectHead, "profile", false, "provider-id", true, true, true, []string{"provider resume", "consumer resume"}},
		"0.18": {config.Dialect018, "transferType", true, "provider-id", true, true, true, []string{"provider resume", "consumer resume"}},
		"0.17": {config.Dialect017, "transferType", true, "consumer-id", false, false, true, []string{"provider start", "consumer started"}},
		"0.16": {config.Dialect016, "transferType", true, "provider-id", false, true, false, []string{"provider start", "consumer started"}},
	} {
		t.Run(name, func(t *testing.T) {
			w, agreement := ready(t, func(c *config.Config) {
				for i := range c.Participants {
					c.Participants[i].Dialect = tc.dialect
				}
			})
			consumer, provider := w.started(agreement, "http-pull")
			w.command("consumer", consumer, "suspend")
			w.reach("provider", "transferprocesses", provider, "SUSPENDED")
			w.reach("consumer", "transferprocesses", consumer, "SUSPENDED")
			start, started, suspend := w.plane.last("provider start").body, w.plane.last("consumer started").body, w.plane.last("provider suspend").body
			if start[tc.member] != "http-pull" {
				t.Errorf("%s is %v", tc.member, start[tc.member])
			}
			if (start["callbackAddress"] == w.url+"/signaling") != tc.callback {
				t.Errorf("callbackAddress %v", start["callbackAddress"])
			}
			if start["participantId"] != tc.startParticipant {
				t.Errorf("participantId of start: %v", start["participantId"])
			}
			if (start["claims"] != nil) != tc.claims || (start["dataspaceContext"] != nil) != tc.claims {
				t.Errorf("claims %v, dataspaceContext %v", start["claims"], start["dataspaceContext"])
			}
			if (started["messageId"] != nil) != tc.startedHasID || (suspend["messageId"] != nil) != tc.suspendHasID {
				t.Errorf("messageId of started %v, of suspend %v", started["messageId"], suspend["messageId"])
			}
			before := len(w.plane.seen())
			w.command("consumer", consumer, "resume")
			w.reach("consumer", "transferprocesses", consumer, "STARTED")
			w.reach("provider", "transferprocesses", provider, "STARTED")
			if d := cmp.Diff(tc.resumed, w.plane.seen()[before:]); d != "" {
				t.Error(d)
			}
			again := w.plane.last(tc.resumed[0]).body
			if tc.resumed[0] == "provider start" && (again["processId"] != start["processId"] || again["messageId"] == start["messageId"]) {
				t.Errorf("resumed by %v", again)
			}
			if w.plane.last(tc.resumed[1]).body["dataAddress"] == nil {
				t.Error("the consumer hears of no fresh address")
			}
		})
	}
}

func TestSuspendAndResumeOrder(t *testing.T) {
	for name, tc := range map[string]struct {
		typ, by string
		want    []string
	}{
		"pull by consumer": {"http-pull", "consumer", []string{"consumer suspend", "provider suspend", "provider resume", "consumer resume"}},
		"pull by provider": {"http-pull", "provider", []string{"provider suspend", "consumer suspend", "provider resume", "consumer resume"}},
		"push by consumer": {"http-push", "consumer", []string{"consumer suspend", "provider suspend", "consumer resume", "provider resume"}},
		"push by provider": {"http-push", "provider", []string{"provider suspend", "consumer suspend", "consumer resume", "provider resume"}},
	} {
		t.Run(name, func(t *testing.T) {
			w, agreement := ready(t, nil)
			consumer, provider := w.started(agreement, tc.typ)
			before := len(w.plane.seen())
			id := map[string]string{"consumer": consumer, "provider": provider}
			w.command(tc.by, id[tc.by], "suspend")
			w.reach("consumer", "transferprocesses", consumer, "SUSPENDED")
			w.reach("provider", "transferprocesses", provider, "SUSPENDED")
			w.command(tc.by, id[tc.by], "resume")
			w.reach("consumer", "transferprocesses", consumer, "STARTED")
			w.reach("provider", "transferprocesses", provider, "STARTED")
			if d := cmp.Diff(tc.want, w.plane.seen()[before:]); d != "" {
				t.Error(d)
			}
			owner, other := tc.want[2], tc.want[3]
			if w.plane.last(owner).body["dataAddress"] != nil {
				t.Errorf("%s: the owner of the address is sent one", owner)
			}
			if w.plane.last(other).body["dataAddress"] == nil {
				t.Errorf("%s: no fresh address", other)
			}
		})
	}
}

func TestPushSendsTheConsumersAddressBothWays(t *testing.T) {
	w, agreement := ready(t, nil)
	w.started(agreement, "http-push")
	for _, what := range []string{"provider start", "consumer started"} {
		a, _ := w.plane.last(what).body["dataAddress"].(map[string]any)
		if a["endpoint"] != "http://consumer.example/in" {
			t.Errorf("%s: address %v", what, a)
		}
	}
}

func TestAResumeWithoutAFreshAddressLosesTheTransfer(t *testing.T) {
	w, agreement := ready(t, nil)
	consumer, provider := w.started(agreement, "http-pull")
	w.command("consumer", consumer, "suspend")
	w.reach("provider", "transferprocesses", provider, "SUSPENDED")
	w.reach("consumer", "transferprocesses", consumer, "SUSPENDED")
	w.plane.answerWith(func(rw http.ResponseWriter, s signal) bool {
		if s.verb() == "resume" {
			reply(rw, provider, "STARTED", nil)
			return true
		}
		return false
	})
	w.command("consumer", consumer, "resume")
	w.reach("provider", "transferprocesses", provider, "TERMINATED")
	w.reach("consumer", "transferprocesses", consumer, "TERMINATED")
	if d := w.get("provider", "transferprocesses", provider)["errorDetail"].(string); !strings.Contains(d, "Cannot resume transfer without a DataAddress") {
		t.Errorf("errorDetail %q", d)
	}
}

func TestARefusedPrepareEndsTheTransferAndNobodyElseHearsOfIt(t *testing.T) {
	w, agreement := ready(t, nil)
	w.plane.answerWith(func(rw http.ResponseWriter, s signal) bool {
		rw.WriteHeader(http.StatusServiceUnavailable) // even this is fatal
		return s.verb() == "prepare"
	})
	id := w.transfer(agreement, "http-pull")
	w.reach("consumer", "transferprocesses", id, "TERMINATED")
	if n := len(w.query("provider", "transferprocesses", "", nil)); n != 0 {
		t.Errorf("%d provider processes", n)
	}
	if got := w.plane.seen(); len(got) != 1 {
		t.Errorf("calls: %v", got)
	}
}

func TestARefusedStartEndsBothSides(t *testing.T) {
	w, agreement := ready(t, nil)
	w.plane.answerWith(func(rw http.ResponseWriter, s signal) bool {
		if s.verb() == "start" {
			http.Error(rw, "no approval", http.StatusForbidden)
			return true
		}
		return false
	})
	id := w.transfer(agreement, "http-pull")
	w.reach("consumer", "transferprocesses", id, "TERMINATED")
	provider := w.other("transferprocesses", id)
	w.reach("provider", "transferprocesses", provider, "TERMINATED")
	if d := w.get("provider", "transferprocesses", provider)["errorDetail"].(string); !strings.Contains(d, "code=403") || !strings.Contains(d, "no approval") {
		t.Errorf("errorDetail %q", d)
	}
	if got := w.plane.seen(); !slices.Contains(got, "consumer terminate") {
		t.Errorf("the consumer's plane was not told: %v", got)
	}
}

func TestOnlyCallsWithoutAnAnswerAreRepeatedWithTheSameMessage(t *testing.T) {
	w, agreement := ready(t, nil)
	drops := 2
	w.plane.answerWith(func(rw http.ResponseWriter, s signal) bool {
		if s.verb() == "start" && drops > 0 {
			drops--
			c, _, err := rw.(http.Hijacker).Hijack()
			if err == nil {
				_ = c.Close()
			}
			return true
		}
		return false
	})
	w.started(agreement, "http-pull")
	ids := map[any]int{}
	for _, s := range w.plane.all() {
		if s.verb() == "start" {
			ids[s.body["messageId"]]++
		}
	}
	if len(ids) != 1 {
		t.Errorf("message ids of start: %v", ids)
	}
}

func TestAsynchronousDataPlanesNeverFinish(t *testing.T) {
	w, agreement := ready(t, nil)
	w.plane.answerWith(func(rw http.ResponseWriter, s signal) bool {
		if s.verb() == "start" {
			id, _ := s.body["processId"].(string)
			rw.WriteHeader(http.StatusAccepted)
			reply(rw, id, "STARTING", nil)
			return true
		}
		return false
	})
	id := w.transfer(agreement, "http-pull")
	w.reach("consumer", "transferprocesses", id, "REQUESTED")
	provider := w.other("transferprocesses", id)
	w.reach("provider", "transferprocesses", provider, "STARTUP_REQUESTED")
	if s := w.plane.notify("provider", provider, "started", map[string]any{"dataAddress": address("http://late", 1)}); s != 200 {
		t.Fatalf("started: status %d", s)
	}
	w.reach("provider", "transferprocesses", provider, "STARTING")
	if s := w.plane.notify("provider", provider, "completed", nil); s != 200 {
		t.Fatalf("completed: status %d", s)
	}
	w.reach("consumer", "transferprocesses", id, "TERMINATED")
	w.reach("provider", "transferprocesses", provider, "TERMINATED")
}

func TestAsynchronousPrepareStopsAtRequesting(t *testing.T) {
	w, agreement := ready(t, nil)
	w.plane.answerWith(func(rw http.ResponseWriter, s signal) bool {
		if s.verb() == "prepare" {
			reply(rw, "x", "PREPARING", nil)
			return true
		}
		return false
	})
	id := w.transfer(agreement, "http-pull")
	w.reach("consumer", "transferprocesses", id, "PREPARATION_REQUESTED")
	if s := w.plane.notify("consumer", id, "prepared", nil); s != 200 {
		t.Fatalf("prepared: status %d", s)
	}
	w.reach("consumer", "transferprocesses", id, "REQUESTING")
	if s := w.plane.notify("consumer", id, "prepared", nil); s != 500 {
		t.Errorf("a second prepared: status %d, want 500", s)
	}
}

func TestAnExistingTransferIDAnswersWithThatProcess(t *testing.T) {
	w, agreement := ready(t, nil)
	start := func() (id string, created any) {
		m := w.must(200, "consumer-app", "POST", "/participants/consumer/transferprocesses", doc("TransferRequest", map[string]any{
			"@id": "consumer-fixed", "profile": profile, "counterPartyAddress": w.address("provider"), "contractId": agreement, "transferType": "http-pull",
			"dataDestination": map[string]any{"type": "ignored"}, "assetId": "ignored",
		})).(map[string]any)
		return m["@id"].(string), m["createdAt"]
	}
	id1, c1 := start()
	id2, c2 := start()
	if id1 != "consumer-fixed" || id1 != id2 || c1 != c2 {
		t.Errorf("%s %v, then %s %v", id1, c1, id2, c2)
	}
	w.reach("consumer", "transferprocesses", id1, "STARTED")
	w.other("transferprocesses", id1) // one provider process, not two
}

func TestCommandsThatAreNotPossibleAreConflicts(t *testing.T) {
	w, agreement := ready(t, nil)
	consumer, _ := w.started(agreement, "http-pull")
	if s := w.plane.notify("consumer", consumer, "completed", nil); s != 200 {
		t.Fatal(s)
	}
	w.reach("consumer", "transferprocesses", consumer, "COMPLETED")
	for verb, typ := range map[string]string{"suspend": "SuspendTransfer", "terminate": "TerminateTransfer", "resume": ""} {
		var body any
		if typ != "" {
			body = doc(typ, nil)
		}
		if s, text := w.send(w.as("consumer-app"), "POST", "/participants/consumer/transferprocesses/"+consumer+"/"+verb, body); s != 409 || !strings.Contains(text, "ObjectConflict") {
			t.Errorf("%s of a completed transfer: %d %s", verb, s, text)
		}
	}
}

func TestCallbacksAreCheckedAndRefusedWith401(t *testing.T) {
	w, agreement := ready(t, nil)
	consumer, provider := w.started(agreement, "http-pull")
	path := "/signaling/transfers/" + consumer + "/dataflow/completed"
	good := w.as("dp-consumer")
	for name, tc := range map[string]struct{ token, path string }{
		"no token":                  {"", path},
		"garbage":                   {"garbage", path},
		"another plane's token":     {w.as("dp-provider"), path},
		"an application's token":    {w.as("consumer-app"), path},
		"a signature that is wrong": {good[:len(good)-6] + "AAAAAA", path},
		"an unknown transfer":       {good, "/signaling/transfers/nope/dataflow/completed"},
	} {
		s, text := w.send(tc.token, "POST", tc.path, map[string]any{"messageId": "m", "dataFlowId": consumer, "state": "COMPLETED"})
		if s != 401 || !strings.Contains(text, "<title>Error 401 Unauthorized</title>") {
			t.Errorf("%s: %d %s", name, s, text)
		}
	}
	if s := w.plane.notify("provider", provider, "errored", map[string]any{"error": "boom"}); s != 200 {
		t.Errorf("errored: status %d", s)
	}
	w.reach("provider", "transferprocesses", provider, "STARTED")
	if s := w.plane.notify("consumer", consumer, "started", nil); s != 409 {
		t.Errorf("started at a consumer: status %d, want 409", s)
	}
	if s := w.plane.notify("consumer", consumer, "completed", nil); s != 200 {
		t.Errorf("completed: status %d", s)
	}
	w.reach("consumer", "transferprocesses", consumer, "COMPLETED")
	if s, _ := w.send(w.as("dp-consumer"), "POST", path, nil); s != 401 {
		t.Errorf("a token used twice: status %d, want 401", s)
	}
	if s := w.plane.notify("consumer", consumer, "completed", nil); s != 409 {
		t.Errorf("completed twice: status %d, want 409", s)
	}
}

func TestACallbackBeforeTheAnswerIsRefused(t *testing.T) {
	w, agreement := ready(t, nil)
	status := make(chan int, 1)
	w.plane.answerWith(func(_ http.ResponseWriter, s signal) bool {
		if s.verb() == "prepare" {
			id, _ := s.body["processId"].(string)
			res, err := http.Post(w.url+"/signaling/transfers/"+id+"/dataflow/completed", "application/json", strings.NewReader(`{"state":"COMPLETED"}`))
			if err == nil {
				status <- res.StatusCode
				_ = res.Body.Close()
			}
		}
		return false
	})
	w.started(agreement, "http-pull")
	if s := <-status; s != 401 {
		t.Errorf("status %d, want 401", s)
	}
}

func TestADataPlaneIdBelongsToWhoRegisteredItLast(t *testing.T) {
	w, agreement := ready(t, nil)
	w.must(200, "provider-app", "PUT", "/participants/provider/dataplanes", map[string]any{"dataplaneId": "dp-consumer", "endpoint": w.plane.URL + "/x/dataflows", "transferTypes": []string{"z"}})
	id := w.transfer(agreement, "http-pull")
	w.reach("consumer", "transferprocesses", id, "TERMINATED")
	if d := w.get("consumer", "transferprocesses", id)["errorDetail"]; d != "No dataplane found" {
		t.Errorf("errorDetail %v", d)
	}
}

func TestLabelsSelectTheProvidersPlane(t *testing.T) {
	w, agreement := ready(t, nil)
	w.must(200, "provider-app", "PUT", "/participants/provider/dataplanes", map[string]any{"dataplaneId": "dp-provider", "endpoint": w.plane.URL + "/provider/dataflows", "transferTypes": []string{"http-pull"}})
	id := w.transfer(agreement, "http-pull")
	w.reach("consumer", "transferprocesses", id, "TERMINATED")
	provider := w.other("transferprocesses", id)
	if d := w.get("provider", "transferprocesses", provider)["errorDetail"]; d != "No dataplane found" {
		t.Errorf("errorDetail %v", d)
	}
}

func TestPerRequestCallbacksFireForTheRequestingSideOnly(t *testing.T) {
	w := newWorld(t, nil)
	w.publish("asset-1", nil)
	w.must(200, "consumer-app", "POST", "/participants/consumer/contractnegotiations", doc("ContractRequest", map[string]any{
		"profile": profile, "counterPartyAddress": w.address("provider"), "counterPartyId": "provider-id", "policy": w.offer("asset-1"),
		"callbackAddresses": []any{map[string]any{"@type": "CallbackAddress", "uri": w.plane.URL + "/cb/events/all", "transactional": false, "events": []any{"contract.negotiation"}}},
	}))
	var got []string
	w.eventually(func() bool {
		got = nil
		for _, s := range w.plane.all() {
			var envelope struct {
				ID, Type string
				At       int64
				Payload  map[string]any
			}
			if json.Unmarshal([]byte(s.raw), &envelope) != nil || envelope.ID == "" || envelope.At == 0 || envelope.Payload["participantContextId"] != "consumer" {
				t.Fatalf("callback %s", s.raw)
			}
			got = append(got, envelope.Type)
		}
		return len(got) == 5
	}, func() string { return strings.Join(got, " ") })
	want := []string{"ContractNegotiationInitiated", "ContractNegotiationRequested", "ContractNegotiationAgreed", "ContractNegotiationVerified", "ContractNegotiationFinalized"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}
