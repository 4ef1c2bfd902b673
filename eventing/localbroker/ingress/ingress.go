// Package ingress takes CloudEvents over HTTP at /{namespace}/{broker}, as the ingress of Knative's Broker does, and answers
// 202 when the event is safe on disk.
//
// Binary and structured mode are taken; batch mode is refused with 400, as Knative refuses it. 400 also means: no CloudEvent,
// not a valid one, a path of another shape, or an event that has gone round too often (its knativebrokerttl is used up). 401:
// no valid bearer token. 404: no such Broker. 405: no POST. 413: too large. 503 with Retry-After: too much waits for delivery,
// or the disk refuses.
//
// Unlike Knative's in-memory Broker, which answers when all subscribers have answered, this one answers when it has stored the
// event; what follows a 202 is in either case the Broker's duty.
package ingress

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
	"github.com/cloudevents/sdk-go/v2/types"
	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/eventing/localbroker/delivery"
	"github.com/tidegate/tidegate/eventing/localbroker/manifest"
	"github.com/tidegate/tidegate/shared/auth"
	"github.com/tidegate/tidegate/shared/problem"
)

const (
	extTTL     = "knativebrokerttl"
	defaultTTL = 255 // as Knative's

	retryAfter = 2 * time.Second // when too much waits
)

// Acceptor stores events; *delivery.Dispatcher is one.
type Acceptor interface {
	HasBroker(b manifest.Name) bool
	Accept(b manifest.Name, in *delivery.Incoming) (uint64, error)
	Backlog() (deliveries, size int64)
}

// Secret checks bearer tokens.
type Secret interface{ Check(token string) bool }

// Limits bound what is taken in.
type Limits struct {
	EventBytes   int64 // of one request's body
	Backlog      int64 // deliveries that wait
	BacklogBytes int64 // of their events
}

// Handler is the ingress.
type Handler struct {
	acceptor Acceptor
	secret   Secret
	limits   Limits
	log      zerolog.Logger
}

// New makes an ingress.
func New(a Acceptor, s Secret, l Limits, log zerolog.Logger) *Handler {
	return &Handler{acceptor: a, secret: s, limits: l, log: log}
}

// ServeHTTP takes one event.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Allow", "POST, OPTIONS")
	switch r.Method {
	case http.MethodPost:
	case http.MethodOptions: // the CloudEvents webhook handshake
		w.Header().Set("WebHook-Allowed-Origin", "*")
		w.Header().Set("WebHook-Allowed-Rate", "*")
		w.WriteHeader(http.StatusOK)
		return
	default:
		h.refuse(w, http.StatusMethodNotAllowed, problem.New(problem.Invalid, "%s is not possible here; expected POST", r.Method))
		return
	}
	if err := h.take(w, r); err != nil {
		if problem.Is(err, problem.Unauthenticated) {
			w.Header().Set("WWW-Authenticate", "Bearer")
		}
		h.refuse(w, problem.Status(err), err)
		return
	}
	w.WriteHeader(http.StatusAccepted)
}

func (h *Handler) refuse(w http.ResponseWriter, code int, err error) {
	problem.Write(w, &h.log, code, err)
}

func (h *Handler) take(w http.ResponseWriter, r *http.Request) error {
	token, ok := auth.Bearer(r.Header)
	if !ok || !h.secret.Check(token) {
		return problem.New(problem.Unauthenticated, "no valid bearer token")
	}
	broker, err := brokerOf(r.URL.Path)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, h.limits.EventBytes))
	if _, over := errors.AsType[*http.MaxBytesError](err); over {
		return problem.New(problem.TooLarge, "the event is larger than %d bytes", h.limits.EventBytes)
	}
	if err != nil {
		return problem.New(problem.Invalid, "the body can't be read: %w", err)
	}
	in, err := Decode(r.Context(), r.Header, body)
	if err != nil {
		return err
	}
	if !h.acceptor.HasBroker(broker) {
		return problem.New(problem.NotFound, "no Broker %s", broker)
	}
	if n, size := h.acceptor.Backlog(); n >= h.limits.Backlog || size >= h.limits.BacklogBytes {
		return &problem.Error{Kind: problem.Unavailable, Message: "too many events wait for delivery", RetryAfter: retryAfter}
	}
	_, err = h.acceptor.Accept(broker, in)
	return err
}

func brokerOf(path string) (manifest.Name, error) {
	namespace, name, ok := strings.Cut(strings.Trim(path, "/"), "/")
	if !ok || namespace == "" || name == "" || strings.Contains(name, "/") {
		if path == "/" {
			return manifest.Name{}, problem.New(problem.NotFound, "expected the path /{namespace}/{broker}")
		}
		return manifest.Name{}, problem.New(problem.Invalid, "expected the path /{namespace}/{broker}")
	}
	return manifest.Name{Namespace: namespace, Name: name}, nil
}

// Decode reads the event of a request in binary or structured mode. All its errors are Invalid.
func Decode(ctx context.Context, header http.Header, body []byte) (*delivery.Incoming, error) {
	m := cehttp.NewMessage(header, io.NopCloser(bytes.NewReader(body)))
	switch m.ReadEncoding() {
	case binding.EncodingBinary, binding.EncodingStructured:
	case binding.EncodingBatch:
		return nil, problem.New(problem.Invalid, "batches are not taken, as Knative's Broker takes none; send events one by one")
	default:
		return nil, problem.New(problem.Invalid, "no CloudEvent: expected ce- headers, or Content-Type %s", event.ApplicationCloudEventsJSON)
	}
	e, err := binding.ToEvent(ctx, m)
	if err != nil {
		return nil, problem.New(problem.Invalid, "no CloudEvent: %w", err)
	}
	if err := e.Validate(); err != nil {
		return nil, problem.New(problem.Invalid, "no valid CloudEvent: %w", err)
	}
	in := &delivery.Incoming{Event: e, TTL: defaultTTL, Headers: passed(header)}
	if v, ok := e.Extensions()[extTTL]; ok {
		ttl, err := types.ToInteger(v)
		if err != nil {
			ttl = defaultTTL + 1 // Knative takes its default then
		}
		if ttl <= 1 {
			return nil, problem.New(problem.Invalid, "the event has gone round too often")
		}
		in.TTL = int(ttl) - 1
		e.SetExtension(extTTL, nil)
	}
	return in, nil
}

// passed returns the headers that go along: trace context and what Knative's Broker passes on.
func passed(h http.Header) [][2]string {
	var out [][2]string
	for name, values := range h {
		lower := strings.ToLower(name)
		switch {
		case lower == "traceparent", lower == "tracestate", lower == "x-request-id",
			strings.HasPrefix(lower, "knative-"), strings.HasPrefix(lower, "x-b3-"):
			if len(values) > 0 && len(out) < maxPassed {
				out = append(out, [2]string{name, values[0]})
			}
		}
	}
	return out
}

const maxPassed = 32
