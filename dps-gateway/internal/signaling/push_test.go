package signaling_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidegate/tidegate/dps-gateway/internal/flowstore/flowstoretest"
	"github.com/tidegate/tidegate/dps-gateway/internal/redistest"
	"github.com/tidegate/tidegate/eventing/catalogue"
	"github.com/tidegate/tidegate/shared/dps"
)

func asPush(message string) string {
	return strings.ReplaceAll(message, dps.ProfileHTTPPull, dps.ProfileHTTPPush)
}

func pushTo(message, endpointType, endpoint string) string {
	return strings.TrimSuffix(message, "}") + fmt.Sprintf(`,"dataAddress":{"endpointType":%q,"endpoint":%q,"endpointProperties":[`+
		`{"name":"https://w3id.org/edc/v0.0.1/ns/type","value":%q},{"name":"authorization","value":"secret-of-them"},{"name":"authType","value":"bearer"}]}}`,
		endpointType, endpoint, endpointType)
}

func pushAddress(endpoint string) string {
	return fmt.Sprintf(`{"@type":"DataAddress","endpointType":%q,"endpoint":%q,"endpointProperties":[{"@type":"EndpointProperty","name":"authorization","value":"x"},`+
		`{"@type":"EndpointProperty","name":"authType","value":"bearer"}]}`, dps.ProfileHTTPPush, endpoint)
}

// TestPushConversation is a push transfer as EDC-V drives it (Data Plane Signaling, sequence of push), both sides, with a suspension
// by the consumer in between: it hears its own address back on started, and the provider gets a fresh one on resume.
func TestPushConversation(t *testing.T) {
	for name, open := range redistest.Kinds() {
		t.Run(name, func(t *testing.T) {
			rdb := open(t)
			w := newWorld(t, rdb)
			w.approve("provider", "agr-1", "asset-1", "them-id")

			prepared := w.signal("consumer", "prepare", asPush(flowMessage("m1", "tp-c")))
			st := prepared.status(t)
			if st.State != dps.Prepared || st.DataAddress == nil || st.DataAddress.EndpointType != dps.ProfileHTTPPush ||
				st.DataAddress.Endpoint != "https://public.example/ingest/tp-c" || st.DataAddress.Property(dps.PropertyAuthType) != "bearer" {
				t.Fatalf("prepare: %s", prepared.body)
			}
			first := st.DataAddress.Property(dps.PropertyAuthorization)
			if again := w.signal("consumer", "prepare", asPush(flowMessage("m1", "tp-c"))); string(again.body) != string(prepared.body) {
				t.Errorf("a repeated prepare got another address: %s", again.body)
			}
			st = w.signal("provider", "start", pushTo(asPush(flowMessage("m2", "tp-p")), dps.ProfileHTTPPush, "https://public.example/ingest/tp-c")).status(t)
			if st.State != dps.Started || st.DataAddress != nil {
				t.Fatalf("start: %+v", st)
			}
			addr, err := w.store.Address(t.Context(), "provider", "tp-p")
			if err != nil || addr.Property(dps.PropertyAuthorization) != "secret-of-them" {
				t.Fatalf("the provider's address: %v %v", addr, err)
			}
			echo := `"dataAddress":` + pushAddress("https://public.example/ingest/tp-c")
			var fresh string
			for _, call := range []struct {
				pc, rest, body string
				state          dps.State
			}{
				{"consumer", "tp-c/started", `{"messageId":"m3",` + echo + `}`, dps.Started},
				{"consumer", "tp-c/suspend", `{"messageId":"m4","reason":"suspend"}`, dps.Suspended},
				{"provider", "tp-p/suspend", `{"messageId":"m5","reason":"suspend"}`, dps.Suspended},
				{"consumer", "tp-c/resume", `{"messageId":"m6","processId":"0fa4"}`, dps.Started},
				{"provider", "tp-p/resume", `{"messageId":"m7","dataAddress":` + strings.Replace(pushAddress("https://public.example/ingest/tp-c"), `"x"`, `"renewed"`, 1) + `}`, dps.Started},
				{"provider", "tp-p/completed", `{}`, dps.Completed},
				{"consumer", "tp-c/completed", `{}`, dps.Completed},
			} {
				a := w.signal(call.pc, call.rest, call.body)
				if a.code != http.StatusOK || a.status(t).State != call.state {
					t.Fatalf("%s: %d %s", call.rest, a.code, a.body)
				}
				token := a.status(t).DataAddress.Property(dps.PropertyAuthorization)
				if (call.rest == "tp-c/resume") != (token != "") || token == first {
					t.Errorf("%s: %s", call.rest, a.body)
				}
				switch call.rest {
				case "tp-c/resume":
					fresh = token
				case "tp-p/resume":
					addr, err := w.store.Address(t.Context(), "provider", "tp-p")
					if err != nil || addr.Property(dps.PropertyAuthorization) != "renewed" {
						t.Errorf("the address was not renewed: %v %v", addr, err)
					}
				case "tp-c/suspend", "tp-c/completed":
					if live, err := w.store.Live(t.Context(), "consumer", "tp-c"); err != nil || live.TokenID != "" {
						t.Errorf("%s: a token is in force: %+v %v", call.rest, live, err)
					}
				}
			}
			if _, err := w.store.Address(t.Context(), "provider", "tp-p"); err == nil {
				t.Error("the address outlives the flow")
			}
			var got []string
			for _, pc := range []string{"consumer", "provider"} {
				for _, e := range flowstoretest.Entries(t.Context(), t, rdb, pc) {
					got = append(got, pc+" "+e.Kind+" "+string(e.Direction))
					for _, secret := range []string{first, fresh, "secret-of-them", "renewed", "https://public"} {
						for _, v := range e.Fields() {
							if s, ok := v.(string); ok && strings.Contains(s, secret) {
								t.Errorf("a secret is in the outbox")
							}
						}
					}
				}
			}
			if d := cmp.Diff([]string{
				"consumer " + catalogue.DataFlowPrepared + " PUSH", "consumer " + catalogue.DataFlowStarted + " PUSH",
				"consumer " + catalogue.DataFlowSuspended + " PUSH", "consumer " + catalogue.DataFlowResumed + " PUSH",
				"consumer " + catalogue.DataFlowCompleted + " PUSH",
				"provider " + catalogue.DataFlowStarted + " PUSH", "provider " + catalogue.DataFlowSuspended + " PUSH",
				"provider " + catalogue.DataFlowResumed + " PUSH", "provider " + catalogue.DataFlowCompleted + " PUSH",
			}, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestAPushNeedsDatasetAndDecisionAsAPullDoes(t *testing.T) {
	rdb, _ := redistest.Mini(t)
	w := newWorld(t, rdb)
	start := func() *answer {
		return w.signal("provider", "start", pushTo(asPush(flowMessage("m", "tp")), dps.ProfileHTTPPush, "https://c.example/in"))
	}
	if a := start(); a.code != http.StatusBadRequest || a.problem(t).Field != "datasetId" {
		t.Errorf("no dataset: %d %s", a.code, a.body)
	}
	w.dataset("provider", "asset-1")
	w.decision("provider", "agr-1", "asset-1", "them-id", "rejected")
	if a := start(); a.code != http.StatusForbidden {
		t.Errorf("rejected: %d %s", a.code, a.body)
	}
	w.decision("provider", "agr-1", "asset-1", "them-id", "approved")
	if a := start(); a.code != http.StatusOK {
		t.Errorf("approved: %d %s", a.code, a.body)
	}
}
