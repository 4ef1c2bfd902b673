package eventsig_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/shared/auth"
	"github.com/tidegate/tidegate/shared/eventsig"
)

func secret(tb testing.TB, lines string) *auth.SharedSecret {
	tb.Helper()
	file := filepath.Join(tb.TempDir(), "token")
	if err := os.WriteFile(file, []byte(lines), 0o600); err != nil {
		tb.Fatal(err)
	}
	s, err := auth.NewSharedSecret(file)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func newEvent(id, data string) *event.Event {
	e := event.New()
	e.SetID(id)
	e.SetSource("/tidegate/acme")
	e.SetType("io.tidegate.verdict.given.v1")
	e.SetSubject("negotiation-1")
	e.SetDataSchema("https://tidegate.io/schemas/verdict")
	e.SetExtension("participantcontextid", "acme")
	if err := e.SetData(event.ApplicationJSON, json.RawMessage(data)); err != nil {
		panic(err) // JSON bytes are always taken
	}
	return &e
}

const data = `{"verdict": "approved", "by":"j.doe <j@example>", "n": 12345678901234567890.10, "list":[1, 2]}`

func TestASignatureSurvivesABroker(t *testing.T) {
	s := secret(t, "0123456789abcdef\n")
	for name, through := range map[string]func(*event.Event) *event.Event{
		"untouched":                              func(e *event.Event) *event.Event { return e },
		"binary":                                 func(e *event.Event) *event.Event { return carry(t, e, false) },
		"structured, where JSON is written anew": func(e *event.Event) *event.Event { return carry(t, e, true) },
		"with attributes of the broker's own": func(e *event.Event) *event.Event {
			e.SetTime(time.Now())
			e.SetExtension("knativearrivaltime", "2026-11-24T10:00:00Z")
			e.SetExtension("knativeerrorcode", "503")
			e.SetExtension("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
			return e
		},
	} {
		e := newEvent("1", data)
		eventsig.Sign(s, e)
		if got := through(e); !eventsig.Check(s, got) {
			t.Errorf("%s: refused: %v", name, got)
		}
	}
}

// carry sends an event over HTTP's binding, in one mode or the other.
func carry(tb testing.TB, e *event.Event, structured bool) *event.Event {
	tb.Helper()
	ctx := binding.WithForceBinary(tb.Context())
	if structured {
		ctx = binding.WithForceStructured(tb.Context())
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://x", nil)
	if err != nil {
		tb.Fatal(err)
	}
	if err := cehttp.WriteRequest(ctx, (*binding.EventMessage)(e), req); err != nil {
		tb.Fatal(err)
	}
	got, err := cehttp.NewEventFromHTTPRequest(req)
	if err != nil {
		tb.Fatal(err)
	}
	return got
}

func TestWhatAnEventSaysCanNotBeChanged(t *testing.T) {
	s := secret(t, "0123456789abcdef\n")
	for name, change := range map[string]func(e *event.Event){
		"id":                  func(e *event.Event) { e.SetID("2") },
		"type":                func(e *event.Event) { e.SetType("io.tidegate.object.removed.v1") },
		"source":              func(e *event.Event) { e.SetSource("/tidegate/other") },
		"subject":             func(e *event.Event) { e.SetSubject("negotiation-2") },
		"participant context": func(e *event.Event) { e.SetExtension("participantcontextid", "other") },
		"no context":          func(e *event.Event) { e.SetExtension("participantcontextid", nil) },
		"schema":              func(e *event.Event) { e.SetDataSchema("https://other.example") },
		"data": func(e *event.Event) {
			e.DataEncoded = bytes.Replace(e.DataEncoded, []byte("approved"), []byte("rejected"), 1)
		},
		"a second value":  func(e *event.Event) { e.DataEncoded = append(e.DataEncoded, " {}"...) },
		"no data":         func(e *event.Event) { e.DataEncoded = nil },
		"no signature":    func(e *event.Event) { e.SetExtension(eventsig.Extension, nil) },
		"empty signature": func(e *event.Event) { e.SetExtension(eventsig.Extension, "") },
		"part moved into the next": func(e *event.Event) {
			e.SetID("1/tidegate")
			e.SetSource("/acme")
		},
	} {
		e := newEvent("1", data)
		eventsig.Sign(s, e)
		change(e)
		if eventsig.Check(s, e) {
			t.Errorf("%s: a changed event is taken", name)
		}
	}
}

func TestASecretIsRotatedWithoutARefusal(t *testing.T) {
	before, both, after := secret(t, "old-old-old-old-old\n"), secret(t, "new-new-new-new-new\nold-old-old-old-old\n"), secret(t, "new-new-new-new-new\n")
	e := newEvent("1", data)
	eventsig.Sign(before, e)
	if !eventsig.Check(both, e) || eventsig.Check(after, e) {
		t.Error("the old signature: want it taken while the old secret is there, and not after")
	}
	eventsig.Sign(both, e)
	if !eventsig.Check(after, e) {
		t.Error("what is signed with the first line is not taken")
	}
}

func TestTheSignatureTellsNothingOfTheSecret(t *testing.T) {
	s := secret(t, "0123456789abcdef\n")
	e := newEvent("1", data)
	eventsig.Sign(s, e)
	sig, _ := e.Extensions()[eventsig.Extension].(string)
	if len(sig) != 43 || sig == s.MAC(nil) || bytes.Contains([]byte(sig), []byte("0123456789abcdef")) {
		t.Errorf("signature %q", sig)
	}
}

func TestAnyJSONKeepsItsSignatureWhenWrittenAnew(t *testing.T) {
	s := secret(t, "0123456789abcdef\n")
	rapid.Check(t, func(r *rapid.T) {
		value := rapid.MapOf(rapid.String(), rapid.OneOf(rapid.String().AsAny(), rapid.Int64().AsAny(), rapid.Float64Range(-1e9, 1e9).AsAny(), rapid.SliceOf(rapid.Bool()).AsAny())).Draw(r, "data")
		plain, err := json.Marshal(value)
		if err != nil {
			r.Fatal(err)
		}
		e := newEvent("1", string(plain))
		eventsig.Sign(s, e)
		indented, err := json.MarshalIndent(value, "", "  ")
		if err != nil {
			r.Fatal(err)
		}
		e.DataEncoded = indented
		if !eventsig.Check(s, e) {
			r.Fatalf("refused: %s", indented)
		}
	})
}
