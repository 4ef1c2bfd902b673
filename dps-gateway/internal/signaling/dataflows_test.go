package signaling_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidegate/tidegate/dps-gateway/internal/flowstore/flowstoretest"
	"github.com/tidegate/tidegate/dps-gateway/internal/redistest"
	"github.com/tidegate/tidegate/eventing/catalogue"
	"github.com/tidegate/tidegate/shared/dps"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/problem"
)

// TestConversation is a pull transfer as EDC-V drives it, both sides, with a suspension in between.
func TestConversation(t *testing.T) {
	for name, open := range redistest.Kinds() {
		t.Run(name, func(t *testing.T) {
			rdb := open(t)
			w := newWorld(t, rdb)
			w.approve("provider", "agr-1", "asset-1", "them-id")

			st := w.signal("consumer", "prepare", flowMessage("m1", "tp-c")).status(t)
			if st.State != dps.Prepared || st.DataFlowID != "tp-c" || st.DataAddress != nil {
				t.Fatalf("prepare: %+v", st)
			}
			st = w.signal("provider", "start", flowMessage("m2", "tp-p")).status(t)
			first := st.DataAddress.Property(dps.PropertyAuthorization)
			if st.State != dps.Started || st.DataFlowID != "tp-p" || first == "" {
				t.Fatalf("start: %+v", st)
			}
			for _, call := range []struct {
				pc, rest, body string
				state          dps.State
				fresh          bool
			}{
				{"consumer", "tp-c/started", startedMessage("m3", st.DataAddress.Endpoint, first), dps.Started, false},
				{"consumer", "tp-c/suspend", `{"messageId":"m4","reason":"suspend"}`, dps.Suspended, false},
				{"provider", "tp-p/suspend", `{"messageId":"m5","reason":"suspend"}`, dps.Suspended, false},
				{"provider", "tp-p/resume", `{"messageId":"m6","processId":"0fa4"}`, dps.Started, true},
				{"consumer", "tp-c/resume", strings.Replace(startedMessage("m7", st.DataAddress.Endpoint, "second"), `{`, `{"processId":"x",`, 1), dps.Started, false},
				{"provider", "tp-p/completed", `{}`, dps.Completed, false},
				{"consumer", "tp-c/terminate", `{"messageId":"m8"}`, dps.Terminated, false},
			} {
				a := w.signal(call.pc, call.rest, call.body)
				if a.code != http.StatusOK {
					t.Fatalf("%s: %d %s", call.rest, a.code, a.body)
				}
				st := a.status(t)
				if st.State != call.state {
					t.Errorf("%s: %s", call.rest, st.State)
				}
				if token := st.DataAddress.Property(dps.PropertyAuthorization); call.fresh != (token != "" && token != first) {
					t.Errorf("%s: address %v", call.rest, st.DataAddress)
				}
				if call.rest == "tp-c/resume" {
					addr, err := w.store.Address(t.Context(), "consumer", "tp-c")
					if err != nil || addr.Property(dps.PropertyAuthorization) != "second" {
						t.Errorf("the address was not renewed: %v %v", addr, err)
					}
				}
			}
			var got []string
			for _, pc := range []string{"consumer", "provider"} {
				for _, e := range flowstoretest.Entries(t.Context(), t, rdb, pc) {
					got = append(got, pc+" "+string(e.Lane)+" "+e.Kind)
					for _, secret := range []string{first, "second", "https://public"} {
						for _, v := range e.Fields() {
							if s, ok := v.(string); ok && strings.Contains(s, secret) {
								t.Errorf("a secret is in the outbox")
							}
						}
					}
				}
			}
			if d := cmp.Diff([]string{
				"consumer event " + catalogue.DataFlowPrepared, "consumer event " + catalogue.DataFlowStarted,
				"consumer event " + catalogue.DataFlowSuspended, "consumer event " + catalogue.DataFlowResumed,
				"consumer event " + catalogue.DataFlowTerminated,
				"provider event " + catalogue.DataFlowStarted, "provider event " + catalogue.DataFlowSuspended,
				"provider event " + catalogue.DataFlowResumed, "provider event " + catalogue.DataFlowCompleted,
			}, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestARepeatedSignalGetsTheFirstAnswerByteForByte(t *testing.T) {
	rdb, _ := redistest.Mini(t)
	w := newWorld(t, rdb)
	w.approve("provider", "agr-1", "asset-1", "them-id")
	path := "/participants/provider/dataflows/start"
	token := w.idp.token(t, nil)
	first := w.send(http.MethodPost, path, token, flowMessage("m1", "tp"))
	for name, again := range map[string]*answer{
		"the very same request, as an HTTP client repeats it": w.send(http.MethodPost, path, token, flowMessage("m1", "tp")),
		"the same message with a fresh token":                 w.signal("provider", "start", flowMessage("m1", "tp")),
		"the same content under a new message id":             w.signal("provider", "start", flowMessage("m2", "tp")),
	} {
		if again.code != http.StatusOK || string(again.body) != string(first.body) {
			t.Errorf("%s: %d %s, want %s", name, again.code, again.body, first.body)
		}
	}
	for name, c := range map[string]struct {
		a    *answer
		code int
	}{
		"another content": {w.signal("provider", "start", strings.Replace(flowMessage("m1", "tp"), "asset-1", "asset-2", 1)), http.StatusConflict},
		"the same token with another request": {
			w.send(http.MethodPost, "/participants/provider/dataflows/tp/suspend", token, `{"messageId":"m3"}`), http.StatusUnauthorized,
		},
		"the same token for a read": {w.send(http.MethodGet, "/participants/provider/dataflows/tp/status", token, ""), http.StatusUnauthorized},
	} {
		if c.a.code != c.code {
			t.Errorf("%s: %d %s", name, c.a.code, c.a.body)
		}
	}
	if n := len(flowstoretest.Entries(t.Context(), t, rdb, "provider")); n != 1 {
		t.Errorf("%d events, want 1", n)
	}
}

func TestStartNeedsADecision(t *testing.T) {
	rdb, _ := redistest.Mini(t)
	w := newWorld(t, rdb)
	start := func(process string) *answer { return w.signal("provider", "start", flowMessage("m-"+process, process)) }

	if a := start("a"); a.code != http.StatusBadRequest || a.problem(t).Field != "datasetId" {
		t.Errorf("no dataset: %d %s", a.code, a.body)
	}
	w.dataset("provider", "asset-1")
	if a := start("a"); a.code != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" {
		t.Errorf("nobody decides: %d %s", a.code, a.body)
	}
	w.decider.decide = func(ctx context.Context, _ gatewayapi.DecideRequest) (gatewayapi.Decision, error) {
		<-ctx.Done()
		return gatewayapi.Decision{}, ctx.Err()
	}
	begin := time.Now()
	if a := start("a"); a.code != http.StatusServiceUnavailable || time.Since(begin) > 20*time.Second {
		t.Errorf("no answer: %d %s after %v", a.code, a.body, time.Since(begin))
	}
	for _, v := range []gatewayapi.Verdict{gatewayapi.Rejected, gatewayapi.Review} {
		w.decider.decide = func(context.Context, gatewayapi.DecideRequest) (gatewayapi.Decision, error) {
			return gatewayapi.Decision{Verdict: v, Reason: "no trade with them"}, nil
		}
		if a := start("a"); a.code != http.StatusForbidden || !strings.Contains(a.problem(t).Detail, "no trade with them") {
			t.Errorf("%s: %d %s", v, a.code, a.body)
		}
	}
	// An approver that says yes but has recorded nothing does not let a byte flow.
	w.decider.decide = func(context.Context, gatewayapi.DecideRequest) (gatewayapi.Decision, error) {
		return gatewayapi.Decision{Verdict: gatewayapi.Approved}, nil
	}
	if a := start("a"); a.code != http.StatusForbidden {
		t.Errorf("unrecorded: %d %s", a.code, a.body)
	}
	w.decider.decide = func(_ context.Context, req gatewayapi.DecideRequest) (gatewayapi.Decision, error) {
		w.decision("provider", req.AgreementID, req.DatasetID, req.CounterPartyID, gatewayapi.Approved)
		return gatewayapi.Decision{Verdict: gatewayapi.Approved}, nil
	}
	if a := start("a"); a.code != http.StatusOK {
		t.Errorf("approved: %d %s", a.code, a.body)
	}
	asked := len(w.decider.asked)
	if a := start("b"); a.code != http.StatusOK || len(w.decider.asked) != asked {
		t.Errorf("decided before: %d %s, asked %d times", a.code, a.body, len(w.decider.asked)-asked)
	}
	if d := cmp.Diff(gatewayapi.DecideRequest{
		ParticipantContextID: "provider", AgreementID: "agr-1", DatasetID: "asset-1", CounterPartyID: "them-id",
		Claims: map[string]any{"client_id": "them-id"},
	}, w.decider.asked[0]); d != "" {
		t.Error(d)
	}
	w.decision("provider", "agr-1", "asset-1", "them-id", gatewayapi.Rejected)
	if a := start("c"); a.code != http.StatusForbidden || !strings.Contains(a.problem(t).Detail, "because") {
		t.Errorf("rejected: %d %s", a.code, a.body)
	}
}

func TestWhatIsRefused(t *testing.T) {
	rdb, _ := redistest.Mini(t)
	w := newWorld(t, rdb)
	w.approve("provider", "agr-1", "asset-1", "them-id")
	w.signal("consumer", "prepare", flowMessage("m1", "tp"))
	push := asPush(flowMessage("m9", "tp9"))
	w.signal("consumer", "prepare", asPush(flowMessage("m1", "push")))
	withAddress := strings.Replace(startedMessage("m9", "https://x.example/", "t"), `{"messageId":"m9",`, strings.TrimSuffix(flowMessage("m9", "tp9"), "}")+",", 1)
	for _, c := range []struct {
		name, pc, rest, body string
		code                 int
		field                string
	}{
		{"a body that is no JSON", "consumer", "prepare", `{`, 400, ""},
		{"a missing member", "consumer", "prepare", strings.Replace(flowMessage("m9", "tp9"), `"agreementId":"agr-1",`, "", 1), 400, "agreementId"},
		{"a member of another type", "consumer", "prepare", strings.Replace(flowMessage("m9", "tp9"), `"agr-1"`, "7", 1), 400, "agreementId"},
		{"a profile that is not offered", "consumer", "prepare", strings.ReplaceAll(flowMessage("m9", "tp9"), dps.ProfileHTTPPull, "https://kafka.example/stream-pull"), 400, "profile"},
		{"push without an address", "provider", "start", push, 400, "dataAddress"},
		{"push to an address that is not https", "provider", "start", pushTo(push, dps.ProfileHTTPPush, "http://x.example/"), 400, "dataAddress.endpoint"},
		{"push to an address of another profile", "provider", "start", pushTo(push, dps.ProfileHTTPPull, "https://x.example/"), 400, "dataAddress.endpointType"},
		{"started of a push with another address than ours", "consumer", "push/started", `{"messageId":"m9","dataAddress":` + pushAddress("https://x.example/") + `}`, 400, "dataAddress"},
		{"started of a push with an address of pull", "consumer", "push/started", startedMessage("m9", "https://x.example/", "t"), 400, "dataAddress"},
		{"an address on pull", "provider", "start", withAddress, 400, "dataAddress"},
		{"started without an address", "consumer", "tp/started", `{"messageId":"m9"}`, 400, "dataAddress"},
		{"started with an address that is not https", "consumer", "tp/started", startedMessage("m9", "http://x.example/", "t"), 400, "dataAddress.endpoint"},
		{"a state that does not allow the signal", "consumer", "tp/resume", `{"messageId":"m9"}`, 400, "state"},
		{"a prepare for a process that has another flow", "consumer", "prepare", strings.Replace(flowMessage("m9", "tp"), "agr-1", "agr-2", 1), 409, "processId"},
		{"a signal to no flow", "consumer", "nope/suspend", `{"messageId":"m9"}`, 404, ""},
		{"a resume of no flow", "consumer", "nope/resume", `{"messageId":"m9"}`, 404, ""},
		{"a body that is too large", "consumer", "prepare", `"` + strings.Repeat("x", 300<<10) + `"`, 413, ""},
		{"an operation that is not there", "consumer", "tp/restart", `{}`, 404, ""},
	} {
		a := w.signal(c.pc, c.rest, c.body)
		if a.code != c.code || a.problem(t).Field != c.field {
			t.Errorf("%s: %d %s, want %d, field %q", c.name, a.code, a.body, c.code, c.field)
		}
	}
	if a := w.send(http.MethodGet, "/participants/consumer/dataflows/tp/status", w.idp.token(t, nil), ""); string(a.body) != `{"dataFlowId":"tp","state":"PREPARED"}` {
		t.Errorf("status: %d %s", a.code, a.body)
	}
	if a := w.send(http.MethodGet, "/participants/consumer/dataflows/nope/status", w.idp.token(t, nil), ""); a.code != http.StatusNotFound {
		t.Errorf("status of no flow: %d %s", a.code, a.body)
	}
}

// TestEveryStateTimesEveryMessage drives a flow of each direction and role into each state and sends each message: what the state machine of
// shared/dps allows is 200, everything else 400 with the state named, and the flow stays.
func TestEveryStateTimesEveryMessage(t *testing.T) {
	rdb, _ := redistest.Mini(t)
	w := newWorld(t, rdb)
	w.approve("provider", "agr-1", "asset-1", "them-id")
	ways := map[dps.Role]map[dps.State][]dps.Signal{
		dps.Consumer: {
			dps.Prepared:   {dps.SignalPrepare},
			dps.Started:    {dps.SignalPrepare, dps.SignalStarted},
			dps.Suspended:  {dps.SignalPrepare, dps.SignalStarted, dps.SignalSuspend},
			dps.Completed:  {dps.SignalPrepare, dps.SignalStarted, dps.SignalCompleted},
			dps.Terminated: {dps.SignalPrepare, dps.SignalTerminate},
		},
		dps.Provider: {
			dps.Started:    {dps.SignalStart},
			dps.Suspended:  {dps.SignalStart, dps.SignalSuspend},
			dps.Completed:  {dps.SignalStart, dps.SignalCompleted},
			dps.Terminated: {dps.SignalStart, dps.SignalTerminate},
		},
	}
	n := 0
	for _, dir := range []dps.Direction{dps.Pull, dps.Push} {
		for role, states := range ways {
			for state, way := range states {
				everyMessage(t, w, dir, role, state, way, &n)
			}
		}
	}
}

// everyMessage drives flows into a state and sends each message to one of them.
func everyMessage(t *testing.T, w *world, dir dps.Direction, role dps.Role, state dps.State, way []dps.Signal, n *int) {
	t.Helper()
	pc := strings.ToLower(string(role))

	for _, signal := range []dps.Signal{
		dps.SignalPrepare, dps.SignalStart, dps.SignalStarted, dps.SignalSuspend, dps.SignalResume, dps.SignalTerminate, dps.SignalCompleted,
	} {
		*n++
		id := pc + fmt.Sprint(*n)
		send := func(signal dps.Signal, messageID, reason string) *answer {
			switch signal {
			case dps.SignalPrepare, dps.SignalStart:
				body := flowMessage(messageID, id)
				if dir == dps.Push && signal == dps.SignalStart {
					body = pushTo(asPush(body), dps.ProfileHTTPPush, "https://c.example/ingest")
				} else if dir == dps.Push {
					body = asPush(body)
				}
				return w.signal(pc, string(signal), body)
			case dps.SignalStarted:
				if dir == dps.Push {
					return w.signal(pc, id+"/started", `{"messageId":"`+messageID+`"}`)
				}
				return w.signal(pc, id+"/started", startedMessage(messageID, "https://p.example/", "t-"+messageID))
			default:
				return w.signal(pc, id+"/"+string(signal), `{"messageId":"`+messageID+`","reason":"`+reason+`"}`)
			}
		}
		for i, s := range way {
			if a := send(s, "way"+strings.Repeat("x", i), "way"); a.code != http.StatusOK {
				t.Fatalf("%s %s to %s by %s: %d %s", dir, role, state, s, a.code, a.body)
			}
		}
		before := len(flowstoretest.Entries(t.Context(), t, w.rdb, pc))
		a := send(signal, "new", "new")
		next, err := dps.Transition(state, role, dir, signal)
		want, code := state, http.StatusBadRequest
		switch {
		case err == nil:
			want, code = next, http.StatusOK
		case signal == way[len(way)-1] && (signal == dps.SignalPrepare || signal == dps.SignalStart || signal == dps.SignalCompleted ||
			(signal == dps.SignalStarted && dir == dps.Push)):
			code = http.StatusOK // the same content again, with nothing in between
		case signal == dps.SignalPrepare || signal == dps.SignalStart:
			code = http.StatusConflict
		}
		if a.code != code {
			t.Errorf("%s %s in %s, %s: %d %s, want %d", dir, role, state, signal, a.code, a.body, code)
		}
		f, err := w.store.Get(t.Context(), pc, id)
		if err != nil || f.State != want {
			t.Errorf("%s %s in %s, %s: now %v %v, want %s", dir, role, state, signal, f, err, want)
		}
		grew := len(flowstoretest.Entries(t.Context(), t, w.rdb, pc)) - before
		if (grew == 1) != (want != state) {
			t.Errorf("%s %s in %s, %s: %d events", dir, role, state, signal, grew)
		}
	}
}

func TestRedisAwayIsUnavailable(t *testing.T) {
	rdb, m := redistest.Mini(t)
	w := newWorld(t, rdb)
	m.Close()
	a := w.signal("consumer", "prepare", flowMessage("m1", "tp"))
	if a.code != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" || a.header.Get("Content-Type") != problem.ContentType {
		t.Errorf("%d %v %s", a.code, a.header, a.body)
	}
}
