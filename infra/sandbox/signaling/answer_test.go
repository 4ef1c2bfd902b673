package signaling

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidegate/tidegate/infra/sandbox/model"
)

func TestDecodeAnswer(t *testing.T) {
	for name, tc := range map[string]struct {
		in   string
		want *Answer // nil: refused
	}{
		"a plain answer":                {`{"state":"PREPARED","extra":1}`, &Answer{State: "PREPARED"}},
		"an address":                    {`{"state":"STARTED","dataAddress":{"endpointType":"t","endpoint":"e","endpointProperties":[{"name":"a","value":"b"}]}}`, &Answer{State: "STARTED", DataAddress: &model.DataAddress{EndpointType: "t", Endpoint: "e", Properties: map[string]string{"a": "b"}}}},
		"an address without properties": {`{"state":"STARTED","dataAddress":{"endpoint":"e"}}`, &Answer{State: "STARTED", DataAddress: &model.DataAddress{Endpoint: "e", Properties: map[string]string{}}}},
		"null properties":               {`{"state":"STARTED","dataAddress":{"endpointProperties":null}}`, nil},
		"no state":                      {`{"dataFlowId":"x"}`, nil},
		"a null state":                  {`{"state":null}`, nil},
		"an empty body":                 {``, nil},
		"no object":                     {`[]`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := DecodeAnswer([]byte(tc.in))
			if (err == nil) != (tc.want != nil) {
				t.Fatalf("error %v", err)
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func FuzzDecodeAnswer(f *testing.F) {
	f.Add([]byte(`{"state":"STARTED","dataAddress":{"endpoint":"e","endpointProperties":[{"name":"a","value":"b"}]}}`))
	f.Add([]byte(`{"state":"PREPARING"}`))
	f.Add([]byte(`{"dataAddress":null}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if a, err := DecodeAnswer(b); err == nil && a.State == "" {
			t.Error("an answer without a state")
		}
	})
}
