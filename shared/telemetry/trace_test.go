package telemetry_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/tidegate/tidegate/shared/telemetry"
)

const good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

func TestParseTakesWhatTheRecommendationAllows(t *testing.T) {
	tests := []struct {
		name, in string
		ok       bool
	}{
		{"version 00", good, true},
		{"not sampled", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00", true},
		{"a later version with more fields", "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what-the-future-brings", true},
		{"a later version with bytes behind the flags", "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01.", false},
		{"version 00 with more fields", good + "-x", false},
		{"version ff", "ff" + good[2:], false},
		{"upper case", strings.ToUpper(good), false},
		{"trace id of zeros", "00-00000000000000000000000000000000-b7ad6b7169203331-01", false},
		{"span id of zeros", "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", false},
		{"too short", good[:54], false},
		{"no hex", strings.Replace(good, "0af", "0xf", 1), false},
		{"empty", "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := telemetry.Parse(tt.in)
			if ok != tt.ok {
				t.Fatalf("Parse(%q) = %+v, %v", tt.in, got, ok)
			}
			if ok && !strings.HasPrefix(tt.in[2:], got.Parent()[2:53]) {
				t.Errorf("Parse(%q) goes on as %q", tt.in, got.Parent())
			}
		})
	}
}

func TestTransportSendsTheTraceOfTheContext(t *testing.T) {
	var got http.Header
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.Header.Clone() }))
	defer server.Close()
	client := &http.Client{Transport: telemetry.Transport(http.DefaultTransport)}
	trace := telemetry.New()
	trace.State = "vendor=1"
	call := func(ctx context.Context, own string) {
		t.Helper()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		if own != "" {
			req.Header.Set("Traceparent", own)
		}
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
		res.Body.Close()
	}
	call(telemetry.NewContext(t.Context(), trace), "")
	if back, ok := telemetry.FromHeader(got); !ok || back != trace {
		t.Errorf("sent %q %q, want %+v", got.Get("Traceparent"), got.Get("Tracestate"), trace)
	}
	call(telemetry.NewContext(t.Context(), trace), good)
	if got.Get("Traceparent") != good {
		t.Errorf("the request's own trace became %q", got.Get("Traceparent"))
	}
	call(t.Context(), "")
	if got.Get("Traceparent") != "" {
		t.Errorf("a trace from nowhere: %q", got.Get("Traceparent"))
	}
}

func FuzzParse(f *testing.F) {
	f.Add(good)
	f.Add("cc" + good[2:] + "-more")
	f.Add("")
	f.Fuzz(func(t *testing.T, s string) {
		trace, ok := telemetry.Parse(s)
		if !ok {
			return
		}
		if again, ok := telemetry.Parse(trace.Parent()); !ok || again != trace {
			t.Errorf("Parse(%q) is %+v, its own spelling %q is %+v, %v", s, trace, trace.Parent(), again, ok)
		}
	})
}
