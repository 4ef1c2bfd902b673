package dps_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/tidegate/tidegate/shared/dps"
	"github.com/tidegate/tidegate/shared/problem"
)

// seed adds the golden messages of a signal, and what has gone wrong elsewhere.
func seed(f *testing.F, pattern string) {
	f.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		f.Fatalf("%d seeds at %s, %v", len(files), pattern, err)
	}
	for _, file := range files {
		body, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body)
	}
	for _, s := range []string{"", "null", "{}", "[]", `{"messageId":"\ud800"}`, `{"messageId":1e999}`, `{"dataAddress":{"endpointType":"t","endpointProperties":{"name":"n","value":[1]}}}`} {
		f.Add([]byte(s))
	}
}

// stable checks that a body is refused as the caller's fault, or that what was read reads the same again after it was written.
func stable[M any](t *testing.T, body []byte, decode func([]byte) (*M, error), encode func(*M) ([]byte, error)) {
	t.Helper()
	m, err := decode(body)
	if err != nil {
		if !problem.Is(err, problem.Invalid) && !problem.Is(err, problem.TooLarge) {
			t.Fatalf("%q: %v", body, err)
		}
		return
	}
	out, err := encode(m)
	if err != nil {
		t.Fatalf("%q: writing: %v", body, err)
	}
	if len(out) > dps.MaxMessage { // escapes may need more room
		return
	}
	again, err := decode(out)
	if err != nil {
		t.Fatalf("%q was written as %q: %v", body, out, err)
	}
	if diff := cmp.Diff(m, again, cmpopts.EquateEmpty()); diff != "" {
		t.Fatalf("%q was written as %q (-first +again):\n%s", body, out, diff)
	}
}

func plainly[M any](m *M) ([]byte, error) { return json.Marshal(m) }

func fuzzFlow(f *testing.F, signal dps.Signal) {
	f.Helper()
	seed(f, "testdata/*/in/"+string(signal)+"-*.json")
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, d := range dialects {
			stable(t, body,
				func(b []byte) (*dps.FlowMessage, error) { return dps.DecodeFlowMessage(b, signal, d) },
				func(m *dps.FlowMessage) ([]byte, error) {
					// A dialect without callbackAddress cannot say one.
					if d == dps.DialectDPS10 || d == dps.DialectEDCV {
						m.CallbackAddress = ""
					}
					out, err := dps.EncodeFlowMessage(m, signal, d)
					if strings.Contains(string(out), ":null,") && !strings.Contains(string(body), "null") {
						t.Fatalf("wrote a null: %s", out)
					}
					return out, err
				})
		}
	})
}

func FuzzDecodePrepare(f *testing.F) { fuzzFlow(f, dps.SignalPrepare) }

func FuzzDecodeStart(f *testing.F) { fuzzFlow(f, dps.SignalStart) }

func fuzzSmall[M any](f *testing.F, signal string, decode func([]byte, dps.Dialect) (*M, error)) {
	f.Helper()
	seed(f, "testdata/*/in/"+signal+"*.json")
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, d := range dialects {
			stable(t, body, func(b []byte) (*M, error) { return decode(b, d) }, plainly)
		}
	})
}

func FuzzDecodeStarted(f *testing.F) { fuzzSmall(f, "started", dps.DecodeStarted) }

func FuzzDecodeSuspend(f *testing.F) { fuzzSmall(f, "suspend", dps.DecodeSuspend) }

func FuzzDecodeResume(f *testing.F) { fuzzSmall(f, "resume", dps.DecodeResume) }

func FuzzDecodeTerminate(f *testing.F) { fuzzSmall(f, "terminate", dps.DecodeTerminate) }

func fuzzOne[M any](f *testing.F, pattern string, decode func([]byte) (*M, error)) {
	f.Helper()
	seed(f, pattern)
	f.Fuzz(func(t *testing.T, body []byte) { stable(t, body, decode, plainly) })
}

func FuzzDecodeCompleted(f *testing.F) {
	fuzzOne(f, "testdata/*/in/completed.json", dps.DecodeCompleted)
}

func FuzzDecodeStatus(f *testing.F) { fuzzOne(f, "testdata/sent/status-*.json", dps.DecodeStatus) }

func FuzzDecodeStatusResponse(f *testing.F) {
	fuzzOne(f, "testdata/sent/status-*.json", dps.DecodeStatusResponse)
}

func FuzzDecodeDataPlaneRegistration(f *testing.F) {
	fuzzOne(f, "testdata/sent/registration-*.json", dps.DecodeDataPlaneRegistration)
}

func FuzzDecodeControlPlaneRegistration(f *testing.F) {
	fuzzOne(f, "testdata/sent/registration-*.json", dps.DecodeControlPlaneRegistration)
}

func BenchmarkDecodeStart(b *testing.B) {
	body, err := os.ReadFile("testdata/edc-v/in/start-push.json")
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := dps.DecodeFlowMessage(body, dps.SignalStart, dps.DialectEDCV); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkUnmarshalStart stands beside DecodeStart: encoding/json, which checks nothing.
func BenchmarkUnmarshalStart(b *testing.B) {
	body, err := os.ReadFile("testdata/edc-v/in/start-push.json")
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		var m dps.FlowMessage
		if err := json.Unmarshal(body, &m); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeSuspend(b *testing.B) {
	body := []byte(`{"messageId":"0b7f5f0c-5c4e-4a35-9f0c-1a2b3c4d5e6f","reason":"suspend"}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := dps.DecodeSuspend(body, dps.DialectEDCV); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncodeStatus(b *testing.B) {
	addr := dps.NewBearerAddress(dps.ProfileHTTPPull, "https://provider.example/data/tp-1", strings.Repeat("t", 400))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := json.Marshal(dps.NewStatus("tp-1", dps.Started, addr)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkTransition(b *testing.B) {
	for b.Loop() {
		if _, err := dps.Transition(dps.Started, dps.Provider, dps.Pull, dps.SignalSuspend); err != nil {
			b.Fatal(err)
		}
	}
}
