package function

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"regexp"
	"strconv"
	"time"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
	"github.com/cloudevents/sdk-go/v2/types"

	"github.com/tidegate/tidegate/shared/eventsig"
	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/telemetry"
)

const (
	extParticipantContext = "participantcontextid"
	extTraceParent        = "traceparent"
	extTraceState         = "tracestate"

	attemptTimeout = 30 * time.Second // of one try to hand an event to the broker: an in-memory one answers after its subscribers have, cold starts included
	firstPause     = 100 * time.Millisecond
	longestPause   = 5 * time.Second
	maxAnswer      = 64 << 10 // of an answer that explains a refusal
)

// Publish sends an event to the broker and returns when the broker has accepted it. Passing failures (no answer, 404, 408,
// 409, 429, 5xx) are retried with growing pauses until ctx ends, at the latest after EVENT_DEADLINE; then the error is of kind Unavailable.
// An event that the broker refuses for good is of kind Unprocessable. The event itself is not changed. The same event may
// arrive twice: its id says so.
func (s *Service) Publish(ctx context.Context, e *event.Event) error {
	if s.cfg.Sink == "" {
		return problem.New(problem.Internal, "K_SINK is not set: there is no broker to publish to")
	}
	out, err := s.prepare(ctx, e)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Deadline)
	defer cancel()
	pause := firstPause
	for {
		again, after, err := s.send(ctx, out)
		if err == nil || !again {
			return err
		}
		wait := max(pause/2+rand.N(pause/2+1), min(after, longestPause)) //nolint:gosec // spreads load, guards nothing
		pause = min(pause*2, longestPause)
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return problem.Wrap(problem.Unavailable, errors.Join(ctx.Err(), err), "the broker did not take the event")
		}
	}
}

// send tries once. It tells whether to try again and after which time at the earliest.
func (s *Service) send(ctx context.Context, e *event.Event) (again bool, after time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	req, err := newRequest(ctx, s.cfg.Sink, e)
	if err != nil {
		return false, 0, problem.Wrap(problem.Invalid, err, "the event %s can't be written", e.Type())
	}
	res, err := s.inside.Do(req)
	if err != nil {
		return true, 0, problem.Wrap(problem.Unavailable, err, "the broker can't be reached")
	}
	defer func() { _ = res.Body.Close() }()
	body, _ := io.ReadAll(io.LimitReader(res.Body, maxAnswer)) // only explains; the status decides
	switch code := res.StatusCode; {
	case code >= 200 && code < 300:
		return false, 0, nil
	case code == http.StatusUnauthorized || code == http.StatusForbidden:
		// Says something of this process's token, nothing of the event: the event comes again later.
		return false, 0, problem.New(problem.Unavailable, "the broker answered %d: the internal token is not accepted", code)
	case code == http.StatusNotFound || code == http.StatusRequestTimeout || code == http.StatusConflict ||
		code == http.StatusTooManyRequests || code >= 500:
		p := problem.FromResponse(code, body, res.Header.Get("Retry-After"))
		return true, p.RetryAfter, p
	default:
		p := problem.FromResponse(code, body, "")
		return false, 0, problem.Wrap(problem.Unprocessable, p, "the broker refuses the event %s for good", e.Type())
	}
}

// prepare returns a copy of an event to send: with the participant context of the event that caused it and the trace of the
// context, if it has none of its own, with the extensions of K_CE_OVERRIDES, and signed.
func (s *Service) prepare(ctx context.Context, e *event.Event) (*event.Event, error) {
	out := e.Clone()
	if _, has := out.Extensions()[extParticipantContext]; !has {
		if pc, ok := ctx.Value(causeKey{}).(string); ok && pc != "" {
			out.SetExtension(extParticipantContext, pc)
		}
	}
	if t, ok := telemetry.FromContext(ctx); ok {
		if _, has := out.Extensions()[extTraceParent]; !has {
			out.SetExtension(extTraceParent, t.Parent())
			if t.State != "" {
				out.SetExtension(extTraceState, t.State)
			}
		}
	}
	for k, v := range s.extensions {
		out.SetExtension(k, v)
	}
	if err := out.Validate(); err != nil {
		return nil, problem.New(problem.Invalid, "event %q to send: %w", e.Type(), err)
	}
	eventsig.Sign(s.secret, &out)
	return &out, nil
}

type causeKey struct{}

// withCause remembers the participant context of the event that is being handled.
func withCause(ctx context.Context, e *event.Event) context.Context {
	return context.WithValue(ctx, causeKey{}, participantContext(e))
}

func participantContext(e *event.Event) string {
	pc, _ := e.Extensions()[extParticipantContext].(string)
	return pc
}

// traceOf finds the trace of a delivery. The transport's header is nearer than the event's extension; a batch has one header
// for many events, and that still is what brought them here. Each handling is a step of its own.
func traceOf(header http.Header, e *event.Event) telemetry.Trace {
	if t, ok := telemetry.FromHeader(header); ok {
		return t.Child()
	}
	ext := e.Extensions()
	parent, _ := ext[extTraceParent].(string)
	if t, ok := telemetry.Parse(parent); ok {
		t.State, _ = ext[extTraceState].(string)
		return t.Child()
	}
	return telemetry.New()
}

func newRequest(ctx context.Context, url string, e *event.Event) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, nil)
	if err != nil {
		return nil, err
	}
	return req, cehttp.WriteRequest(encodingFor(ctx, e), (*binding.EventMessage)(e), req)
}

func writeReply(ctx context.Context, w http.ResponseWriter, e *event.Event) error {
	return cehttp.WriteResponseWriter(encodingFor(ctx, e), (*binding.EventMessage)(e), http.StatusOK, w)
}

// encodingFor chooses binary mode, and structured mode for what headers can't carry as it is.
func encodingFor(ctx context.Context, e *event.Event) context.Context {
	values := []string{e.ID(), e.Source(), e.Type(), e.Subject(), e.DataSchema(), e.DataContentType()}
	for _, v := range e.Extensions() {
		s, err := types.Format(v)
		if err != nil {
			return binding.WithForceStructured(ctx)
		}
		values = append(values, s)
	}
	for _, v := range values {
		if !plain(v) {
			return binding.WithForceStructured(ctx)
		}
	}
	return binding.WithForceBinary(ctx)
}

// plain tells whether a header carries v so that every reader of the HTTP binding reads the same: printable ASCII, no
// percent sign and quote, which the binding wants encoded, and no space at an end, which HTTP drops.
func plain(v string) bool {
	for i := range len(v) {
		if c := v[i]; c < ' ' || c > '~' || c == '%' || c == '"' {
			return false
		}
	}
	return v == "" || (v[0] != ' ' && v[len(v)-1] != ' ')
}

var extensionName = regexp.MustCompile(`^[a-z0-9]{1,20}$`)

// overrides reads K_CE_OVERRIDES.
func overrides(s string) (map[string]string, error) {
	if s == "" {
		return nil, nil
	}
	var o struct {
		Extensions map[string]string `json:"extensions"`
	}
	d := json.NewDecoder(bytes.NewReader([]byte(s)))
	if err := d.Decode(&o); err != nil {
		return nil, err
	}
	for k := range o.Extensions {
		if !extensionName.MatchString(k) {
			return nil, errors.New("the extension name " + strconv.Quote(k) + " is not allowed")
		}
	}
	return o.Extensions, nil
}
