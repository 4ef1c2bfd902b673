package outbox

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"

	"github.com/tidegate/tidegate/eventing/catalogue"
	"github.com/tidegate/tidegate/shared/auth"
	"github.com/tidegate/tidegate/shared/eventsig"
	"github.com/tidegate/tidegate/shared/problem"
)

// maxAnswer bounds what is read of an answer that is of no interest but for its problem document.
const maxAnswer = 64 << 10

// EventSender POSTs events to the broker (CloudEvents HTTP binding, binary mode).
type EventSender struct {
	secret  *auth.SharedSecret
	sink    string
	hc      *http.Client
	timeout time.Duration
}

// NewEventSender returns a sender. secret signs the events, sink is the broker's URL (K_SINK); hc authenticates the calls and must not bound their
// time itself: an in-memory Knative Broker answers only after all subscribers have, so timeout is generous.
func NewEventSender(secret *auth.SharedSecret, sink string, hc *http.Client, timeout time.Duration) *EventSender {
	return &EventSender{secret: secret, sink: sink, hc: hc, timeout: timeout}
}

// Send implements Sender.
func (s *EventSender) Send(ctx context.Context, e *Entry) error {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	req, err := s.request(ctx, e)
	if err != nil {
		return err
	}
	return do(s.hc, req, "the broker")
}

func (s *EventSender) request(ctx context.Context, e *Entry) (*http.Request, error) {
	if len(e.Event) == 0 {
		return s.flowRequest(ctx, e)
	}
	ce, err := e.CloudEvent()
	if err != nil {
		return nil, err
	}
	eventsig.Sign(s.secret, ce)
	req, err := cehttp.NewHTTPRequestFromEvent(ctx, s.sink, *ce)
	if err != nil {
		return nil, problem.Wrap(problem.Unprocessable, err, "the event can't be sent")
	}
	return req, nil
}

// flowRequest is the request of a flow's event, the same as of CloudEvent, without the detour over the SDK's general model: nearly
// all events are of this kind.
func (s *EventSender) flowRequest(ctx context.Context, e *Entry) (*http.Request, error) {
	body, err := json.Marshal(e.canonical())
	if err != nil {
		return nil, problem.Wrap(problem.Unprocessable, err, "the event can't be sent")
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.sink, bytes.NewReader(body))
	if err != nil {
		return nil, problem.Wrap(problem.Unprocessable, err, "the event can't be sent")
	}
	signed := eventsig.Message{
		ID:     catalogue.ID(e.Kind, e.PC, e.Subject, strconv.FormatInt(e.Revision, 10)),
		Source: catalogue.Source(program, e.PC), Type: e.Kind, Subject: e.Subject, DataSchema: catalogue.SchemaID(e.Kind),
		ParticipantContextID: e.PC, Data: body,
	}
	attributes := [...]struct{ header, value string }{
		{"Ce-Specversion", event.CloudEventsVersionV1},
		{"Ce-Id", signed.ID},
		{"Ce-Type", signed.Type},
		{"Ce-Source", signed.Source},
		{"Ce-Subject", signed.Subject},
		{"Ce-Time", e.At.UTC().Format(time.RFC3339Nano)},
		{"Ce-Dataschema", signed.DataSchema},
		{"Ce-Tidegatesignature", signed.Signature(s.secret)},
		{"Content-Type", event.ApplicationJSON},
		{"Ce-Participantcontextid", e.PC},
		{"Ce-Partitionkey", e.partition()},
		{"Ce-Flowrole", string(e.Role)},
		{"Ce-Flowdirection", string(e.Direction)},
	}
	values := make([]string, len(attributes)) // one for all headers
	for i, a := range attributes {
		if values[i] = a.value; a.value != "" {
			req.Header[a.header] = values[i : i+1 : i+1]
		}
	}
	return req, nil
}

// do sends a request and makes an error of every answer that is no success. Nobody but a human can mend a 400 or a 422;
// everything else, a 401 or a 404 too, may pass: a secret that is being rotated, a route that is not there yet.
func do(hc *http.Client, req *http.Request, who string) error {
	res, err := hc.Do(req)
	if err != nil {
		return problem.Wrap(problem.Unavailable, err, "%s can't be reached", who)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if res.StatusCode >= 200 && res.StatusCode <= 299 {
		return nil
	}
	if err != nil {
		return problem.Wrap(problem.Unavailable, err, "%s answered %d and broke off", who, res.StatusCode)
	}
	return refusal(who, res.StatusCode, body, res.Header.Get("Retry-After"))
}

// refusal makes an error of an answer that is no success.
func refusal(who string, code int, body []byte, retryAfter string) error {
	p := problem.FromResponse(code, body, retryAfter)
	switch code {
	case http.StatusBadRequest, http.StatusUnprocessableEntity, http.StatusRequestEntityTooLarge:
	default:
		if hopeless(p) {
			p.Kind = problem.Upstream
		}
	}
	p.Message = who + ": " + p.Message
	return p
}
