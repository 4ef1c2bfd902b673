package dps_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidegate/tidegate/shared/dps"
	"github.com/tidegate/tidegate/shared/problem"
)

const pushAddress = `{"endpointType":"http-push","endpoint":"https://consumer.example/in","endpointProperties":{"name":"authType","value":"bearer"}}`

// flow returns the body of a flow message with some members changed; an empty value leaves one out.
func flow(change map[string]string) []byte {
	names := []string{
		"messageId", "participantId", "counterPartyId", "dataspaceContext", "processId", "agreementId", "datasetId", "profile",
		"claims",
	}
	values := map[string]string{"claims": `{}`, "profile": `"http-pull"`}
	for k := range change {
		if _, ok := values[k]; !ok && !strings.HasSuffix(k, "Id") && k != "dataspaceContext" {
			names = append(names, k)
		}
	}
	var b strings.Builder
	for _, n := range names {
		v, changed := change[n]
		if !changed {
			if v = values[n]; v == "" {
				v = `"` + n + `-1"`
			}
		}
		if v != "" {
			fmt.Fprintf(&b, ",%q:%s", n, v)
		}
	}
	return []byte("{" + strings.TrimPrefix(b.String(), ",") + "}")
}

func TestDecodeToleratesWhatControlPlanesSend(t *testing.T) {
	model := func(change func(*dps.FlowMessage)) *dps.FlowMessage {
		m := &dps.FlowMessage{
			MessageID: "messageId-1", ParticipantID: "participantId-1", CounterPartyID: "counterPartyId-1",
			DataspaceContext: "dataspaceContext-1", ProcessID: "processId-1", AgreementID: "agreementId-1", DatasetID: "datasetId-1",
			Profile: "http-pull", Claims: map[string]any{},
		}
		if change != nil {
			change(m)
		}
		return m
	}
	push := func(value string) func(*dps.FlowMessage) {
		return func(m *dps.FlowMessage) {
			m.Profile = "http-push"
			m.DataAddress = &dps.DataAddress{
				Type: "DataAddress", EndpointType: "http-push", Endpoint: "https://c.example/in",
				EndpointProperties: []dps.EndpointProperty{{Type: "EndpointProperty", Name: "x", Value: value}},
			}
		}
	}
	address := func(props string) map[string]string {
		return map[string]string{
			"profile": `"http-push"`, "dataAddress": `{"endpointType":"http-push","endpoint":"https://c.example/in","endpointProperties":` + props + `}`,
		}
	}
	tests := map[string]struct {
		change  map[string]string
		dialect dps.Dialect
		want    *dps.FlowMessage
	}{
		"nothing unusual":                      {nil, dps.DialectDPS10, model(nil)},
		"an unknown dialect is the newest EDC": {map[string]string{"claims": ""}, "edc-9", model(nil)},
		"nulls for what is optional": {map[string]string{
			"callbackAddress": "null", "labels": "null", "metadata": "null", "dataAddress": "null", "transferType": "null",
		}, dps.DialectDPS10, model(nil)},
		"unknown members":                  {map[string]string{"@type": `"X"`, "@context": `["c"]`, "flowType": `{"a":[1]}`}, dps.DialectDPS10, model(nil)},
		"transferType for profile":         {map[string]string{"profile": "", "transferType": `"http-pull"`}, dps.DialectEDCV, model(nil)},
		"profile for transferType":         {nil, dps.DialectEDC018, model(nil)},
		"both with the same value":         {map[string]string{"transferType": `"http-pull"`}, dps.DialectEDCV, model(nil)},
		"claims that are null, from EDC":   {map[string]string{"claims": "null"}, dps.DialectEDCV, model(nil)},
		"no context and claims, from 0.16": {map[string]string{"claims": "", "dataspaceContext": ""}, dps.DialectEDC016, model(func(m *dps.FlowMessage) { m.DataspaceContext = "" })},
		"one label instead of a list":      {map[string]string{"labels": `"bulk"`}, dps.DialectDPS10, model(func(m *dps.FlowMessage) { m.Labels = []string{"bulk"} })},
		"labels with a null among them":    {map[string]string{"labels": `["a",null,"b"]`}, dps.DialectDPS10, model(func(m *dps.FlowMessage) { m.Labels = []string{"a", "b"} })},
		"claims of any shape": {map[string]string{"claims": `{"a":[1,{"b":null}],"c":1.5,"d":true}`}, dps.DialectDPS10, model(func(m *dps.FlowMessage) {
			m.Claims = map[string]any{"a": []any{1.0, map[string]any{"b": nil}}, "c": 1.5, "d": true}
		})},
		"0.17 swaps the participants": {nil, dps.DialectEDC017, model(func(m *dps.FlowMessage) {
			m.ParticipantID, m.CounterPartyID = m.CounterPartyID, m.ParticipantID
		})},
		"one property instead of a list":    {address(`{"name":"x","value":"v"}`), dps.DialectDPS10, model(push("v"))},
		"a number keeps its spelling":       {address(`[{"name":"x","value":12345678901234567890}]`), dps.DialectDPS10, model(push("12345678901234567890"))},
		"a boolean as a value":              {address(`[{"name":"x","value":true}]`), dps.DialectDPS10, model(push("true"))},
		"a foreign property with structure": {address(`[{"name":"x","value":{"a":[1,null]}}]`), dps.DialectDPS10, model(push(`{"a":[1,null]}`))},
		"properties that are or hold nulls": {address(`[null,{"name":"y","value":null},{"name":"x","value":"v"},{"name":"z"}]`), dps.DialectDPS10, model(push("v"))},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := dps.DecodeFlowMessage(flow(tt.change), dps.SignalStart, tt.dialect)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestDecodeNamesTheMemberThatIsWrong(t *testing.T) {
	deep := strings.Repeat(`{"a":`, dps.MaxDepth) + "1" + strings.Repeat("}", dps.MaxDepth)
	type set = map[string]string
	push := func(addr string) set { return set{"profile": `"http-push"`, "dataAddress": addr} }
	tests := map[string]struct {
		change  set
		signal  dps.Signal
		dialect dps.Dialect
		field   string
		says    string
	}{
		"no message id":                       {set{"messageId": ""}, dps.SignalStart, dps.DialectEDCV, "messageId", "is missing"},
		"no participant":                      {set{"participantId": ""}, dps.SignalStart, dps.DialectEDCV, "participantId", "is missing"},
		"no counterparty":                     {set{"counterPartyId": `""`}, dps.SignalStart, dps.DialectEDCV, "counterPartyId", "is missing"},
		"no context":                          {set{"dataspaceContext": ""}, dps.SignalStart, dps.DialectEDCV, "dataspaceContext", "is missing"},
		"a process that is null":              {set{"processId": "null"}, dps.SignalPrepare, dps.DialectEDCV, "processId", "is missing"},
		"no agreement":                        {set{"agreementId": ""}, dps.SignalPrepare, dps.DialectEDC016, "agreementId", "is missing"},
		"no dataset":                          {set{"datasetId": ""}, dps.SignalPrepare, dps.DialectEDC017, "datasetId", "is missing"},
		"no profile":                          {set{"profile": ""}, dps.SignalStart, dps.DialectEDC018, "profile", "is missing"},
		"no claims, by the text":              {set{"claims": ""}, dps.SignalStart, dps.DialectDPS10, "claims", "is missing"},
		"a member in another case":            {set{"processId": "", "processID": `"p"`, "x": "1"}, dps.SignalStart, dps.DialectEDCV, "processId", "is missing"},
		"two profiles that differ":            {set{"transferType": `"http-push"`}, dps.SignalStart, dps.DialectEDCV, "transferType", "differs"},
		"a profile without direction":         {set{"profile": `"http"`}, dps.SignalStart, dps.DialectEDCV, "profile", "direction"},
		"a process that is a number":          {set{"processId": "7"}, dps.SignalStart, dps.DialectEDCV, "processId", "is a number, want a string"},
		"a process with a line break":         {set{"processId": `"a\nb"`}, dps.SignalStart, dps.DialectEDCV, "processId", "control characters"},
		"a process that is very long":         {set{"processId": `"` + strings.Repeat("x", 513) + `"`}, dps.SignalStart, dps.DialectEDCV, "processId", "513 bytes"},
		"claims that are a list":              {set{"claims": "[]"}, dps.SignalStart, dps.DialectEDCV, "claims", "is a list, want an object"},
		"claims with a number out of range":   {set{"claims": `{"a":[{"b":1e999}]}`}, dps.SignalStart, dps.DialectEDCV, "claims", "out of range"},
		"metadata that is a string":           {set{"metadata": `"x"`}, dps.SignalStart, dps.DialectEDCV, "metadata", "is a string"},
		"a label that is a boolean":           {set{"labels": `["a",true]`}, dps.SignalStart, dps.DialectEDCV, "labels[1]", "is a boolean"},
		"too many labels":                     {set{"labels": "[" + strings.Repeat(`"a",`, 256) + `"a"]`}, dps.SignalStart, dps.DialectEDCV, "labels", "257 elements"},
		"an address on the start of a pull":   {set{"dataAddress": pushAddress}, dps.SignalStart, dps.DialectEDCV, "dataAddress", "on pull"},
		"an address on the prepare of a pull": {set{"dataAddress": pushAddress}, dps.SignalPrepare, dps.DialectEDCV, "dataAddress", "on pull"},
		"a push without an address":           {set{"profile": `"http-push"`}, dps.SignalStart, dps.DialectEDCV, "dataAddress", "is missing"},
		"an address that is a string":         {push(`"https://x"`), dps.SignalStart, dps.DialectEDCV, "dataAddress", "is a string"},
		"an address without a type":           {push(`{"endpoint":"https://x"}`), dps.SignalStart, dps.DialectEDCV, "dataAddress.endpointType", "is missing"},
		"a property without a name":           {push(`{"endpointType":"t","endpointProperties":[{"name":"a","value":"b"},{"value":"x"}]}`), dps.SignalStart, dps.DialectEDCV, "dataAddress.endpointProperties[1].name", "is missing"},
		"a property that is a string":         {push(`{"endpointType":"t","endpointProperties":["x"]}`), dps.SignalStart, dps.DialectEDCV, "dataAddress.endpointProperties[0]", "want an object"},
		"a token that is an object":           {push(`{"endpointType":"t","endpointProperties":[{"name":"authorization","value":{}}]}`), dps.SignalStart, dps.DialectEDCV, "dataAddress.endpointProperties[0].value", "is an object"},
		"too deep":                            {set{"claims": deep}, dps.SignalStart, dps.DialectEDCV, "", "deeper than"},
		"a member twice":                      {set{"claims": `{"a":1,"\u0061":2}`}, dps.SignalStart, dps.DialectEDCV, "", "twice"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			m, err := dps.DecodeFlowMessage(flow(tt.change), tt.signal, tt.dialect)
			e, ok := errors.AsType[*problem.Error](err)
			if !ok || e.Kind != problem.Invalid || e.Field != tt.field || !strings.Contains(e.Message, tt.says) {
				t.Errorf("got %v, %v; want field %q saying %q", m, err, tt.field, tt.says)
			}
		})
	}
}

func TestDecodeRefusesWhatIsNoMessage(t *testing.T) {
	tests := map[string]struct {
		body string
		kind problem.Kind
	}{
		"a list":           {`[]`, problem.Invalid},
		"a string":         {`"x"`, problem.Invalid},
		"half an object":   {`{"messageId":"m"`, problem.Invalid},
		"a trailing comma": {`{"messageId":"m",}`, problem.Invalid},
		"text after it":    {`{"messageId":"m"}{}`, problem.Invalid},
		"not UTF-8":        {"{\"messageId\":\"\xff\"}", problem.Invalid},
		"too large":        {`{"messageId":"` + strings.Repeat("x", dps.MaxMessage) + `"}`, problem.TooLarge},
		"very deep":        {strings.Repeat("[", 100_000), problem.Invalid},
	}
	for name, tt := range tests {
		if m, err := dps.DecodeSuspend([]byte(tt.body), dps.DialectEDCV); !problem.Is(err, tt.kind) {
			t.Errorf("%s: %v, %v", name, m, err)
		}
	}
	if _, err := dps.DecodeFlowMessage([]byte(`{}`), dps.SignalSuspend, dps.DialectEDCV); !problem.Is(err, problem.Internal) {
		t.Errorf("a suspend read as a flow message: %v", err)
	}
}

func TestSmallMessagesMayBeEmptyWhereTheDialectLetsThem(t *testing.T) {
	decoders := map[string]func([]byte, dps.Dialect) error{
		"started":   func(b []byte, d dps.Dialect) error { return second(dps.DecodeStarted(b, d)) },
		"suspend":   func(b []byte, d dps.Dialect) error { return second(dps.DecodeSuspend(b, d)) },
		"resume":    func(b []byte, d dps.Dialect) error { return second(dps.DecodeResume(b, d)) },
		"terminate": func(b []byte, d dps.Dialect) error { return second(dps.DecodeTerminate(b, d)) },
		"completed": func(b []byte, _ dps.Dialect) error { return second(dps.DecodeCompleted(b)) },
	}
	for name, decode := range decoders {
		for _, body := range []string{"", " \n", "\ufeff", "\ufeff {}", "{}", "null", `{"messageId":null,"reason":null,"dataAddress":null}`} {
			for _, d := range dialects {
				err := decode([]byte(body), d)
				if d == dps.DialectDPS10 && name != "completed" {
					if e, ok := errors.AsType[*problem.Error](err); !ok || e.Field != "messageId" {
						t.Errorf("%s %q of %s: %v, want a fault of messageId", name, body, d, err)
					}
				} else if err != nil {
					t.Errorf("%s %q of %s: %v", name, body, d, err)
				}
			}
		}
	}
}

func TestDecodeStatusReadsWhatDataPlanesAnswer(t *testing.T) {
	m, err := dps.DecodeStatus([]byte(`{"state":"STARTED","dataAddress":{"endpointType":"http-pull","endpoint":"e"},"extra":1,"error":null}`))
	want := &dps.StatusMessage{State: dps.Started, DataAddress: &dps.DataAddress{Type: "DataAddress", EndpointType: "http-pull", Endpoint: "e"}}
	if diff := cmp.Diff(want, m); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	for name, body := range map[string]string{"no state": `{}`, "an unknown state": `{"state":"RUNNING"}`, "another case": `{"state":"started"}`} {
		if _, err := dps.DecodeStatus([]byte(body)); !problem.Is(err, problem.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if r, err := dps.DecodeStatusResponse([]byte(`{"dataFlowId":"tp","state":"SUSPENDED"}`)); err != nil || r.State != dps.Suspended || r.DataFlowID != "tp" {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := dps.DecodeStatusResponse([]byte(`{"state":"SUSPENDED"}`)); !problem.Is(err, problem.Invalid) {
		t.Errorf("without an id: %v", err)
	}
}

func TestRegistrationsAreReadUnderBothNames(t *testing.T) {
	for name, body := range map[string]string{
		"the text's": `{"dataplaneId":"d","endpoint":"https://x","profiles":["http-pull"]}`,
		"EDC's":      `{"dataplaneId":"d","endpoint":"https://x","transferTypes":["http-pull"],"profiles":[]}`,
	} {
		m, err := dps.DecodeDataPlaneRegistration([]byte(body))
		if err != nil || len(m.Profiles) != 1 || len(m.TransferTypes) != 1 {
			t.Errorf("%s: %+v, %v", name, m, err)
		}
	}
	if _, err := dps.DecodeDataPlaneRegistration([]byte(`{"dataplaneId":"d","endpoint":"https://x"}`)); !problem.Is(err, problem.Invalid) {
		t.Errorf("without profiles: %v", err)
	}
	m, err := dps.DecodeControlPlaneRegistration([]byte(`{"controlplaneId":"c","endpoint":"https://x","authorization":{"type":"oauth2_client_credentials","clientId":"i"}}`))
	if err != nil || m.ControlplaneID != "c" || m.Authorization.ClientID != "i" {
		t.Errorf("%+v, %v", m, err)
	}
	_, err = dps.DecodeControlPlaneRegistration([]byte(`{"controlplaneId":"c","endpoint":"https://x","authorization":{"type":7}}`))
	if e, ok := errors.AsType[*problem.Error](err); !ok || e.Field != "authorization.type" {
		t.Errorf("an authorization without a type: %v", err)
	}
}

func TestNewDataPlaneRegistrationRefusesWhatNoControlPlaneCanUse(t *testing.T) {
	for field, args := range map[string][2]string{"dataplaneId": {"", "https://x"}, "endpoint": {"d", "/relative"}, "profiles": {"d", "https://x"}} {
		profiles := []string{"http-pull"}
		if field == "profiles" {
			profiles = nil
		}
		_, err := dps.NewDataPlaneRegistration(args[0], args[1], profiles, nil, nil, dps.DialectEDCV)
		if e, ok := errors.AsType[*problem.Error](err); !ok || e.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
}
