package ingress_test

import (
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidegate/tidegate/eventing/localbroker/delivery"
	"github.com/tidegate/tidegate/eventing/localbroker/ingress"
	"github.com/tidegate/tidegate/eventing/localbroker/store"
	"github.com/tidegate/tidegate/shared/problem"
)

func binary(more map[string]string) http.Header {
	h := http.Header{"Ce-Specversion": {"1.0"}, "Ce-Id": {"1"}, "Ce-Type": {"t"}, "Ce-Source": {"/s"}}
	for k, v := range more {
		h.Set(k, v)
	}
	return h
}

func TestTheBrokersOwnAttributeCountsDownAndIsTakenOff(t *testing.T) {
	tests := map[string]struct {
		value string
		want  int // 0 = refused
	}{
		"none is set":       {"", 255},
		"some are left":     {"10", 9},
		"none is left":      {"1", 0},
		"less than none":    {"-3", 0},
		"it is no number":   {"many", 255},
		"it is a large one": {"2147483647", 2147483646},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			h := binary(nil)
			if tt.value != "" {
				h.Set("Ce-Knativebrokerttl", tt.value)
			}
			in, err := ingress.Decode(t.Context(), h, nil)
			if tt.want == 0 {
				if !problem.Is(err, problem.Invalid) {
					t.Fatalf("got %+v, %v; want an invalid", in, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if _, there := in.Event.Extensions()["knativebrokerttl"]; in.TTL != tt.want || there {
				t.Errorf("TTL %d, want %d; still there: %v", in.TTL, tt.want, there)
			}
		})
	}
}

func TestOnlyTraceContextAndKnativesHeadersGoAlong(t *testing.T) {
	in, err := ingress.Decode(t.Context(), binary(map[string]string{
		"Traceparent": "a", "Tracestate": "b", "X-Request-Id": "c", "Knative-X": "d", "X-B3-Traceid": "e",
		"Authorization": "Bearer secret", "Cookie": "x", "X-Forwarded-For": "y",
	}), nil)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, h := range in.Headers {
		got[h[0]] = h[1]
	}
	want := map[string]string{"Traceparent": "a", "Tracestate": "b", "X-Request-Id": "c", "Knative-X": "d", "X-B3-Traceid": "e"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// Whatever comes in is refused as Invalid, or is an event that can be stored, read back, and sent on.
func FuzzDecode(f *testing.F) {
	f.Add("application/json", "1", "t", "/s", "x", "1.0", []byte(`{}`))
	f.Add("application/cloudevents+json", "", "", "", "", "", []byte(`{"specversion":"1.0","id":"1","type":"t","source":"/s","n":5,"b":true,"data_base64":"AAE="}`))
	f.Add("application/cloudevents+json; charset=utf-8", "", "", "", "", "", []byte(`{"specversion":"0.3","id":"1","type":"t","source":"/s","time":"2026-11-24T09:30:00Z","data":"x"}`))
	f.Add("application/cloudevents-batch+json", "", "", "", "", "", []byte(`[]`))
	f.Add("text/plain", "1", "t", "%zz", "\x00", "0.3", []byte{0xff})
	f.Fuzz(func(t *testing.T, contentType, id, eventType, source, extension, version string, body []byte) {
		h := http.Header{"Content-Type": {contentType}}
		for name, v := range map[string]string{"Ce-Id": id, "Ce-Type": eventType, "Ce-Source": source, "Ce-Ext": extension, "Ce-Specversion": version} {
			if v != "" {
				h[name] = []string{v}
			}
		}
		in, err := ingress.Decode(t.Context(), h, body)
		if err != nil {
			if !problem.Is(err, problem.Invalid) {
				t.Fatalf("%v is no invalid", err)
			}
			return
		}
		var r store.Record
		if err := r.FromEvent(in.Event); err != nil {
			t.Fatalf("%v can't be stored: %v", in.Event, err)
		}
		e, err := r.Event()
		if err != nil {
			t.Fatalf("%v can't be read back: %v", in.Event, err)
		}
		if e.ID() != in.Event.ID() || e.Type() != in.Event.Type() || e.Source() != in.Event.Source() || string(e.Data()) != string(in.Event.Data()) {
			t.Fatalf("%v became %v", in.Event, e)
		}
		_ = delivery.FitsHeaders(e)
	})
}
