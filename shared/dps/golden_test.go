package dps_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/tidegate/tidegate/shared/dps"
)

var update = flag.Bool("update", false, "write the golden files anew")

var dialects = []dps.Dialect{dps.DialectDPS10, dps.DialectEDCV, dps.DialectEDC018, dps.DialectEDC017, dps.DialectEDC016}

// golden compares a value, as indented JSON, with a file.
func golden(t *testing.T, file string, v any) {
	t.Helper()
	got, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}

func schema(tb testing.TB, name string) *jsonschema.Schema {
	tb.Helper()
	s, err := jsonschema.NewCompiler().Compile("testdata/schema/" + name + ".json")
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func conforms(tb testing.TB, s *jsonschema.Schema, body []byte) {
	tb.Helper()
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		tb.Fatal(err)
	}
	if err := s.Validate(v); err != nil {
		tb.Errorf("%s: %v", body, err)
	}
}

// message decodes a body by the first word of its file's name.
func message(name string, body []byte, d dps.Dialect) (any, error) {
	signal, _, _ := strings.Cut(name, "-")
	switch s := dps.Signal(signal); s {
	case dps.SignalPrepare, dps.SignalStart:
		return dps.DecodeFlowMessage(body, s, d)
	case dps.SignalStarted:
		return dps.DecodeStarted(body, d)
	case dps.SignalSuspend:
		return dps.DecodeSuspend(body, d)
	case dps.SignalResume:
		return dps.DecodeResume(body, d)
	case dps.SignalTerminate:
		return dps.DecodeTerminate(body, d)
	default:
		return dps.DecodeCompleted(body)
	}
}

// What the control planes of each dialect send, and the one model that handlers see.
func TestEveryDialectIsReadIntoOneModel(t *testing.T) {
	for _, d := range dialects {
		files, err := filepath.Glob("testdata/" + string(d) + "/in/*.json")
		if err != nil || len(files) < 9 {
			t.Fatalf("%s: %d messages, %v", d, len(files), err)
		}
		for _, file := range files {
			name := strings.TrimSuffix(filepath.Base(file), ".json")
			t.Run(string(d)+"/"+name, func(t *testing.T) {
				body, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				m, err := message(name, body, d)
				if err != nil {
					t.Fatal(err)
				}
				golden(t, "testdata/"+string(d)+"/model/"+name+".json", m)
			})
		}
	}
}

// The same transfer, told in each dialect, must read the same but for what a dialect cannot say.
func TestTheModelDoesNotDependOnTheDialect(t *testing.T) {
	for _, name := range []string{"prepare-pull", "prepare-push", "start-pull", "start-push"} {
		var first *dps.FlowMessage
		for _, d := range dialects[1:] { // those of EDC
			body, err := os.ReadFile("testdata/" + string(d) + "/in/" + name + ".json")
			if err != nil {
				t.Fatal(err)
			}
			signal, _, _ := strings.Cut(name, "-")
			m, err := dps.DecodeFlowMessage(body, dps.Signal(signal), d)
			if err != nil {
				t.Fatal(err)
			}
			if first == nil {
				first = m
				continue
			}
			ignore := cmpopts.IgnoreFields(dps.FlowMessage{}, "Claims", "DataspaceContext", "CallbackAddress", "Profile", "DataAddress")
			if diff := cmp.Diff(first, m, ignore, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("%s of %s reads unlike %s (-%s +%s):\n%s", name, d, dialects[1], dialects[1], d, diff)
			}
		}
	}
}

func TestFlowMessagesAreWrittenAsEachDialectSendsThem(t *testing.T) {
	for _, d := range dialects {
		s := schema(t, "flow")
		if d != dps.DialectDPS10 && d != dps.DialectEDCV {
			s = schema(t, "flow-edc")
		}
		for _, name := range []string{"prepare-pull", "prepare-push", "start-pull", "start-push"} {
			t.Run(string(d)+"/"+name, func(t *testing.T) {
				body, err := os.ReadFile("testdata/" + string(d) + "/in/" + name + ".json")
				if err != nil {
					t.Fatal(err)
				}
				word, _, _ := strings.Cut(name, "-")
				signal := dps.Signal(word)
				m, err := dps.DecodeFlowMessage(body, signal, d)
				if err != nil {
					t.Fatal(err)
				}
				if m.DataspaceContext == "" {
					m.DataspaceContext = "http-dsp-profile-2025-1"
				}
				out, err := dps.EncodeFlowMessage(m, signal, d)
				if err != nil {
					t.Fatal(err)
				}
				conforms(t, s, out)
				golden(t, "testdata/"+string(d)+"/out/"+name+".json", json.RawMessage(out))
			})
		}
	}
}

// What we send, whatever the dialect: answers, callbacks, registrations.
func TestWhatWeSendIsStrict(t *testing.T) {
	addr := dps.NewBearerAddress(dps.ProfileHTTPPull, "https://provider.example/data/tp-1", "token-1")
	untagged := &dps.DataAddress{
		EndpointType: dps.ProfileHTTPPull, Endpoint: "https://provider.example/data/tp-1",
		EndpointProperties: []dps.EndpointProperty{{Name: dps.PropertyAuthType, Value: "bearer"}},
	}
	status := func(state dps.State, addr *dps.DataAddress, text string) *dps.StatusMessage {
		m := dps.NewStatus("tp-1", state, addr)
		if text != "" {
			m = dps.NewErrored("tp-1", state, text)
		}
		if m.MessageID == "" || m.MessageID == dps.NewStatus("", "", nil).MessageID {
			t.Error("the message id is not new")
		}
		m.MessageID = "m-1"
		return m
	}
	auth := &dps.Authorization{Type: "oauth2_client_credentials", TokenEndpoint: "https://idp.example/token", ClientID: "cp", ClientSecret: "s"}
	registration := func(d dps.Dialect, labels []string, auth *dps.Authorization) any {
		m, err := dps.NewDataPlaneRegistration("pc1-tidegate", "https://gw.example/participants/pc1/", []string{dps.ProfileHTTPPull}, labels, auth, d)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	tests := map[string]struct {
		schema string
		value  any
	}{
		"status-prepared":       {"status", status(dps.Prepared, nil, "")},
		"status-started":        {"status", status(dps.Started, addr, "")},
		"status-untagged":       {"status", status(dps.Started, untagged, "")},
		"status-errored":        {"status", status(dps.Started, nil, "the source is gone")},
		"status-response":       {"status-response", dps.StatusResponseMessage{DataFlowID: "tp-1", State: dps.Suspended}},
		"registration-edc-v":    {"registration", registration(dps.DialectEDCV, []string{"bulk"}, auth)},
		"registration-dps-1.0":  {"registration", registration(dps.DialectDPS10, nil, nil)},
		"registration-by-value": {"registration", dps.DataPlaneRegistrationMessage{DataplaneID: "d", Endpoint: "https://x/dataflows", Profiles: []string{"p-pull"}, TransferTypes: []string{"p-pull"}}},
		"flow-without-claims":   {"flow", dps.FlowMessage{MessageID: "m", ParticipantID: "a", CounterPartyID: "b", DataspaceContext: "c", ProcessID: "p", AgreementID: "g", DatasetID: "d", Profile: "http-pull"}},
		"started":               {"started", dps.StartedNotificationMessage{MessageID: "m", DataAddress: untagged}},
		"resume":                {"started", dps.ResumeMessage{MessageID: "m"}},
		"suspend":               {"reason", dps.SuspendMessage{MessageID: "m", Reason: "r"}},
		"terminate":             {"reason", dps.TerminateMessage{MessageID: "m"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			body, err := json.Marshal(tt.value)
			if err != nil {
				t.Fatal(err)
			}
			conforms(t, schema(t, tt.schema), body)
			golden(t, "testdata/sent/"+name+".json", tt.value)
		})
	}
}

// The schemas are worth something only if they refuse.
func TestTheSchemasRefuse(t *testing.T) {
	tests := map[string]struct{ schema, body string }{
		"a missing member":      {"status", `{"messageId":"m","state":"STARTED"}`},
		"a null":                {"status", `{"messageId":"m","dataFlowId":"d","state":"STARTED","dataAddress":null}`},
		"an untagged address":   {"status", `{"messageId":"m","dataFlowId":"d","state":"STARTED","dataAddress":{"endpointType":"t","endpoint":"e"}}`},
		"an unknown state":      {"status-response", `{"dataFlowId":"d","state":"RUNNING"}`},
		"one list of profiles":  {"registration", `{"dataplaneId":"d","endpoint":"https://x","profiles":["p"],"labels":[]}`},
		"missing claims":        {"flow", `{"messageId":"m","participantId":"a","counterPartyId":"b","dataspaceContext":"c","processId":"p","agreementId":"g","datasetId":"d","profile":"x-pull"}`},
		"a number for a string": {"started", `{"messageId":"m","dataAddress":{"@type":"DataAddress","endpointType":"t","endpoint":"e","endpointProperties":[{"@type":"EndpointProperty","name":"expiresIn","value":300}]}}`},
	}
	for name, tt := range tests {
		v, err := jsonschema.UnmarshalJSON(strings.NewReader(tt.body))
		if err != nil {
			t.Fatal(err)
		}
		if schema(t, tt.schema).Validate(v) == nil {
			t.Errorf("%s passes", name)
		}
	}
}
