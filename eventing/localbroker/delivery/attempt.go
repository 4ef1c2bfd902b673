package delivery

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
	"github.com/cloudevents/sdk-go/v2/types"

	"github.com/tidegate/tidegate/eventing/localbroker/store"
)

// maxErrorData is the length of the extension knativeerrordata, base64, as in Knative.
const maxErrorData = 1024

// Extensions of dead letters.
const (
	extErrorCode = "knativeerrorcode"
	extErrorData = "knativeerrordata"
	extErrorDest = "knativeerrordest"
)

// outcome is what an attempt came to: facts only.
type outcome struct {
	unreachable bool         // nobody listened
	stopped     bool         // we are going down: nothing is known
	code        int          // of the answer; 500 if there was none, 502 if it is no valid answer, as Knative has it
	body        []byte       // of an answer that is no success
	retryAfter  string       // header
	reply       *event.Event // a CloudEvent in a success
}

func (o *outcome) delivered() bool { return o.code >= 200 && o.code < 300 }

// errorData is the body as Knative puts it into a dead letter.
func (o *outcome) errorData() string {
	s := base64.StdEncoding.EncodeToString(o.body)
	return s[:min(len(s), maxErrorData)]
}

// send makes one attempt.
func (d *Dispatcher) send(ctx context.Context, l *lane, r *store.Record, state *store.State) *outcome {
	ctx, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	req, err := d.request(ctx, l, r, state)
	if err != nil {
		return &outcome{code: http.StatusBadRequest, body: []byte(err.Error())}
	}
	resp, err := d.client.Do(req)
	if err != nil {
		return failure(ctx, err)
	}
	defer func() { _ = resp.Body.Close() }() // read to its end, or given up
	body, err := io.ReadAll(io.LimitReader(resp.Body, d.options.MaxReply+1))
	o := &outcome{code: resp.StatusCode, retryAfter: resp.Header.Get("Retry-After")}
	switch {
	case err != nil:
		return failure(ctx, err)
	case !o.delivered():
		o.body = body
	case int64(len(body)) > d.options.MaxReply:
		o.code, o.body = http.StatusBadGateway, []byte("the answer is too large")
	default:
		o.readReply(ctx, resp.Header, body)
	}
	return o
}

// failure is the outcome of a request without an answer.
func failure(ctx context.Context, err error) *outcome {
	var op *net.OpError
	switch {
	case errors.Is(context.Cause(ctx), errStopping):
		return &outcome{stopped: true}
	case errors.As(err, &op) && op.Op == "dial":
		return &outcome{unreachable: true, code: http.StatusServiceUnavailable, body: []byte("dispatch error: " + err.Error())}
	}
	return &outcome{code: http.StatusInternalServerError, body: []byte("dispatch error: " + err.Error())}
}

// readReply tells an event from an empty answer from one that is neither.
func (o *outcome) readReply(ctx context.Context, h http.Header, body []byte) {
	m := cehttp.NewMessage(h, io.NopCloser(bytes.NewReader(body)))
	if m.ReadEncoding() == binding.EncodingUnknown {
		if len(body) > 0 {
			o.code, o.body = http.StatusBadGateway, []byte("the answer has a body that is no CloudEvent")
		}
		return
	}
	e, err := binding.ToEvent(ctx, m)
	if err == nil {
		err = e.Validate()
	}
	if err != nil {
		o.code, o.body = http.StatusBadGateway, []byte("the answer is no valid CloudEvent: "+err.Error())
		return
	}
	o.reply = e
}

func (d *Dispatcher) request(ctx context.Context, l *lane, r *store.Record, state *store.State) (*http.Request, error) {
	e, err := r.Event()
	if err != nil {
		return nil, err
	}
	if l.deadLetter {
		e.SetExtension(extErrorCode, state.ErrorCode)
		e.SetExtension(extErrorData, state.ErrorData)
		e.SetExtension(extErrorDest, state.ErrorDest)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, l.target.url, nil)
	if err != nil {
		return nil, err
	}
	if !FitsHeaders(e) {
		ctx = binding.WithForceStructured(ctx)
	}
	if err := cehttp.WriteRequest(ctx, binding.ToMessage(e), req); err != nil {
		return nil, err
	}
	for _, h := range r.Headers {
		req.Header.Set(h[0], h[1])
	}
	if tp, ok := e.Extensions()["traceparent"].(string); ok && req.Header.Get("Traceparent") == "" {
		req.Header.Set("Traceparent", tp)
	}
	req.Header.Set("Prefer", "reply")
	if l.target.inside {
		req.Header.Set("Authorization", "Bearer "+d.secret.Value())
	}
	return req, nil
}

// FitsHeaders tells whether all attributes can be HTTP headers. An event for which they can't (a subject with a line break,
// say) is delivered in structured mode; it must then be possible to write it as JSON, see Structured.
func FitsHeaders(e *event.Event) bool {
	fits := func(s string) bool {
		if strings.TrimSpace(s) != s {
			return false
		}
		for i := range len(s) {
			if (s[i] < 0x20 && s[i] != '\t') || s[i] == 0x7f {
				return false
			}
		}
		return true
	}
	for _, v := range e.Extensions() {
		s, err := types.Format(v)
		if err != nil || !fits(s) {
			return false
		}
	}
	return fits(e.ID()) && fits(e.Type()) && fits(e.Source()) && fits(e.Subject()) && fits(e.DataSchema()) && fits(e.DataContentType())
}

// Structured tells whether the event can be written as CloudEvents JSON.
func Structured(e *event.Event) error {
	_, err := json.Marshal(e)
	return err
}
