// Package telemetry carries trace context between processes as the W3C recommendation "Trace Context" (level 1) spells it:
// the header traceparent, and the CloudEvents extension of the same name (Distributed Tracing extension). It records no
// spans: what it gives is one trace id on the log lines, events and requests that belong together, also through brokers. Beside
// that it keeps a fault that repeats from filling the log (Calm).
package telemetry

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"net/http"
)

// The names of the headers.
const (
	HeaderTraceParent = "Traceparent"
	HeaderTraceState  = "Tracestate"
)

// maxState bounds a tracestate that is passed on; the recommendation asks for at least 512 characters (section 3.3.1.5).
const maxState = 512

// sampled is the only flag that version 00 defines (section 3.2.2.5.1).
const sampled = 1

// Trace is the position in a trace: which trace, and which step of it is the parent of what comes next.
type Trace struct {
	TraceID string // 32 lower-case hex digits, not all zero
	SpanID  string // 16 lower-case hex digits, not all zero
	Flags   byte
	State   string // tracestate, passed on as it came; may be empty
}

// New starts a trace. It is marked as sampled: whoever records further on decides by its own sampling what to keep.
func New() Trace {
	return Trace{TraceID: random(16), SpanID: random(8), Flags: sampled}
}

// Parse reads a traceparent (section 3.2). Versions above 00 are read by their first four fields, as section 4.3 asks.
func Parse(traceparent string) (Trace, bool) {
	const length = 2 + 1 + 32 + 1 + 16 + 1 + 2
	s := traceparent
	if len(s) < length || s[2] != '-' || s[35] != '-' || s[52] != '-' || !isHex(s[:2]) || s[:2] == "ff" {
		return Trace{}, false
	}
	if len(s) > length && (s[:2] == "00" || s[length] != '-') {
		return Trace{}, false
	}
	t := Trace{TraceID: s[3:35], SpanID: s[36:52]}
	if !isHex(t.TraceID) || !isHex(t.SpanID) || !isHex(s[53:55]) || allZero(t.TraceID) || allZero(t.SpanID) {
		return Trace{}, false
	}
	flags, err := hex.DecodeString(s[53:55])
	if err != nil {
		return Trace{}, false
	}
	t.Flags = flags[0] & sampled
	return t, true
}

// FromHeader reads the trace of a request; false if it has none or a malformed one.
func FromHeader(h http.Header) (Trace, bool) {
	t, ok := Parse(h.Get(HeaderTraceParent))
	if !ok {
		return Trace{}, false
	}
	if state := h.Get(HeaderTraceState); len(state) <= maxState {
		t.State = state
	}
	return t, true
}

// Child is the next step of the same trace.
func (t Trace) Child() Trace {
	t.SpanID = random(8)
	return t
}

// Parent is the traceparent to send.
func (t Trace) Parent() string {
	return "00-" + t.TraceID + "-" + t.SpanID + "-" + hex.EncodeToString([]byte{t.Flags})
}

// Inject writes the trace into the header of a request to send.
func (t Trace) Inject(h http.Header) {
	h.Set(HeaderTraceParent, t.Parent())
	if t.State != "" {
		h.Set(HeaderTraceState, t.State)
	}
}

type contextKey struct{}

// NewContext returns a context in which FromContext finds t.
func NewContext(ctx context.Context, t Trace) context.Context {
	return context.WithValue(ctx, contextKey{}, t)
}

// FromContext returns the trace of the work that ctx belongs to.
func FromContext(ctx context.Context) (Trace, bool) {
	t, ok := ctx.Value(contextKey{}).(Trace)
	return t, ok
}

// Transport returns a RoundTripper that sends the trace of a request's context along, unless the request has one already.
func Transport(base http.RoundTripper) http.RoundTripper { return transport{base} }

type transport struct{ base http.RoundTripper }

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if trace, ok := FromContext(r.Context()); ok && r.Header.Get(HeaderTraceParent) == "" {
		r = r.Clone(r.Context()) // a RoundTripper must not change its request
		trace.Inject(r.Header)
	}
	return t.base.RoundTrip(r)
}

func random(n int) string {
	b := make([]byte, n)
	for {
		_, _ = rand.Read(b) // never fails (crypto/rand)
		if s := hex.EncodeToString(b); !allZero(s) {
			return s
		}
	}
}

func isHex(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

func allZero(s string) bool {
	for i := range len(s) {
		if s[i] != '0' {
			return false
		}
	}
	return true
}
