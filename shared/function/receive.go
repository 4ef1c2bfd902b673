package function

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"

	"github.com/tidegate/tidegate/shared/problem"
)

// bodyTimeout bounds the time that a caller has for sending a request's body.
const bodyTimeout = 30 * time.Second

// delivery is one request of the broker: one event, or a batch of them.
type delivery struct {
	events []event.Event
	batch  bool
}

// receive decodes a request. Its error comes with the status that it has in answer to a broker: 400 malformed, 408 too slow,
// 413 too large, 415 no CloudEvent.
//
// The body is read as a whole, under limit and bodyTimeout, before the SDK sees it: so its size and its malformedness are
// told apart for certain, and the SDK's receiver with its shared channel, which can strand a waiting caller when another one
// gives up, is not needed.
func receive(w http.ResponseWriter, r *http.Request, limit int64) (*delivery, int, error) {
	body, code, err := readBody(w, r, limit)
	if err != nil {
		return nil, code, err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))

	mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		mediaType = "" // binary mode needs none
	}
	d := &delivery{batch: mediaType == event.ApplicationCloudEventsBatchJSON}
	if d.batch {
		d.events, err = decodeBatch(body)
	} else {
		var e *event.Event
		if e, err = cehttp.NewEventFromHTTPRequest(r); err == nil {
			d.events = []event.Event{*e}
		}
	}
	switch {
	case errors.Is(err, binding.ErrUnknownEncoding):
		if v := r.Header.Get("Ce-Specversion"); v != "" {
			return nil, http.StatusBadRequest, problem.Field("specversion", "%q is not known: expected 1.0", v)
		}
		if strings.HasPrefix(mediaType, "application/cloudevents") {
			return nil, http.StatusUnsupportedMediaType, problem.Field("Content-Type", "of the event formats only JSON is known")
		}
		return nil, http.StatusUnsupportedMediaType, problem.Field("Content-Type", "the request is no CloudEvent: expected ce- headers or a content type application/cloudevents")
	case err != nil:
		return nil, http.StatusBadRequest, problem.New(problem.Invalid, "the request is no well-formed CloudEvent: %w", err)
	}
	for i := range d.events {
		if err := d.events[i].Validate(); err != nil {
			return nil, http.StatusBadRequest, problem.New(problem.Invalid, "event %d of %d: %w", i+1, len(d.events), err)
		}
	}
	return d, 0, nil
}

func readBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, int, error) {
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(bodyTimeout)) // where the writer knows no deadlines the server's own hold
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	// Off again at once: a deadline that fires while the handler runs would end its context.
	_ = control.SetReadDeadline(time.Time{})
	if err == nil {
		return body, 0, nil
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, http.StatusRequestEntityTooLarge, problem.New(problem.TooLarge, "an event may have %d bytes", limit)
	}
	return nil, http.StatusRequestTimeout, problem.Wrap(problem.Timeout, err, "the body could not be read")
}

// decodeBatch reads a JSON batch. Unlike the SDK's own function it accepts nothing after the array, and no empty batch passes
// as a success: there is nothing to acknowledge.
func decodeBatch(body []byte) ([]event.Event, error) {
	var events []event.Event
	if err := json.Unmarshal(body, &events); err != nil {
		return nil, err
	}
	if len(events) == 0 {
		return nil, errors.New("the batch is empty")
	}
	return events, nil
}
