package function

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/shared/eventsig"
	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/telemetry"
)

// replyTimeout bounds the time that a caller has for taking the answer.
const replyTimeout = 30 * time.Second

// receiver serves deliveries of the broker with a handler.
type receiver struct {
	service *Service
	handler Handler
}

func (rc *receiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s := rc.service
	token := s.presentsToken(r)
	if !token && r.Header.Get("Authorization") != "" {
		s.unauthenticated(w, problem.New(problem.Unauthenticated, "another bearer token is expected"))
		return
	}
	d, code, err := receive(w, r, s.cfg.MaxEventBytes)
	if err != nil && !token {
		s.unauthenticated(w, problem.New(problem.Unauthenticated, "the bearer token of the deployment, or a signed CloudEvent, is expected"))
		return
	}
	if err == nil && !token {
		if err = s.authentic(d); problem.Is(err, problem.Unauthenticated) {
			s.unauthenticated(w, err)
			return
		}
		code = problem.Status(err)
	}
	if err != nil {
		s.log.Warn().Err(err).Int("status", code).Str("outcome", "refused").Msg("delivery refused")
		problem.Write(w, &s.log, code, err)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.cfg.Deadline)
	defer cancel()

	var res result
	if d.batch {
		res = rc.handleBatch(ctx, r.Header, d.events)
	} else {
		res = rc.handle(ctx, r.Header, &d.events[0], nil)
	}
	control := http.NewResponseController(w)
	_ = control.SetWriteDeadline(time.Now().Add(replyTimeout)) // not supported by a writer of tests: then nothing bounds it
	switch {
	case res.err != nil:
		problem.Write(w, &res.log, res.status, res.err)
	case res.reply != nil:
		if err := writeReply(ctx, w, res.reply); err != nil {
			res.log.Warn().Err(err).Msg("the reply could not be sent, the event will come again")
		}
	default:
		w.WriteHeader(http.StatusNoContent)
	}
	_ = control.Flush()
	_ = control.SetWriteDeadline(time.Time{}) // the next request on the connection has its own time
}

// tick is the type of the events of schedules. They name no tenant and carry no data that anybody reads.
const tick = "dev.knative.sources.ping"

// authentic checks the signature of each event of a delivery that came without the token. What is signed with a secret that is not
// known here is refused as Unavailable, so that it comes again: a rotated secret reaches some processes later than others.
func (s *Service) authentic(d *delivery) error {
	for i := range d.events {
		switch e := &d.events[i]; {
		case e.Type() == tick || eventsig.Check(s.secret, e):
		case eventsig.Signed(e):
			return problem.New(problem.Unavailable, "the signature of the event %q does not hold under any secret that is known here", e.ID())
		default:
			return problem.New(problem.Unauthenticated, "the bearer token of the deployment, or a signed event, is expected")
		}
	}
	return nil
}

// handleBatch handles a batch in order. One bad event does not keep the others from being handled, and a passing failure of
// one brings the whole batch again: the result is the worst of all.
func (rc *receiver) handleBatch(ctx context.Context, header http.Header, events []event.Event) result {
	worst := result{log: rc.service.log}
	for i := range events {
		if res := rc.handle(ctx, header, &events[i], rc.service.Publish); res.status > worst.status {
			worst = res
		}
	}
	worst.reply = nil // each has been published
	return worst
}

// result is what came of one event. status is 0 if all is well.
type result struct {
	log    zerolog.Logger
	reply  *event.Event
	status int
	err    error
}

// handle runs the handler on one event and writes its log line, but for a failure: that line is problem.Write's. A reply is given to
// publish, if there is such.
func (rc *receiver) handle(ctx context.Context, header http.Header, e *event.Event, publish func(context.Context, *event.Event) error) result {
	start := time.Now()
	trace := traceOf(header, e)
	log := rc.service.eventLogger(e, trace)
	ctx = telemetry.NewContext(log.WithContext(withCause(ctx, e)), trace)

	reply, err := rc.call(ctx, e)
	if err == nil && reply != nil {
		reply, err = rc.service.prepare(ctx, reply)
	}
	if err == nil && reply != nil && publish != nil {
		err = publish(ctx, reply)
	}
	duration := time.Since(start)
	if err == nil {
		done := log.Info().Dur("duration", duration).Str("outcome", "done")
		if reply != nil {
			done = done.Str("reply_type", reply.Type()).Str("reply_id", reply.ID())
		}
		done.Msg("event handled")
		return result{log: log, reply: reply}
	}
	status := problem.EventStatus(err)
	if status < http.StatusInternalServerError {
		log.Warn().Err(err).Int("status", status).Dur("duration", duration).Str("outcome", "refused").Msg("event refused")
		return result{log: log, status: status, err: err}
	}
	return result{log: log.With().Dur("duration", duration).Str("outcome", "failed").Logger(), status: status, err: err}
}

// call runs the handler; a panic is an error of kind Internal. An error of the context's end is a passing failure, however
// the handler spelt it.
func (rc *receiver) call(ctx context.Context, e *event.Event) (reply *event.Event, err error) {
	if err := ctx.Err(); err != nil {
		return nil, problem.Wrap(problem.Unavailable, err, "there was no time left for the event")
	}
	defer func() {
		if p := recover(); p != nil {
			reply, err = nil, panicError(p)
		}
	}()
	reply, err = rc.handler(ctx, e)
	if err != nil && ctx.Err() != nil && problem.Is(err, problem.Internal) {
		err = problem.Wrap(problem.Unavailable, err, "the event could not be handled in time")
	}
	return reply, err
}

func (s *Service) eventLogger(e *event.Event, trace telemetry.Trace) zerolog.Logger {
	c := s.log.With().Str("ce_id", e.ID()).Str("ce_type", e.Type()).Str("ce_source", e.Source()).Str("trace_id", trace.TraceID)
	if v := participantContext(e); v != "" {
		c = c.Str("participant_context_id", v)
	}
	if v := e.Subject(); v != "" {
		c = c.Str("ce_subject", v)
		if strings.HasPrefix(e.Type(), "io.tidegate.dataflow.") || strings.HasPrefix(e.Type(), "io.tidegate.transfer.") {
			c = c.Str("process_id", v)
		}
	}
	return c.Logger()
}

func panicError(p any) error {
	return problem.Wrap(problem.Internal, fmt.Errorf("panic: %v\n%s", p, debug.Stack()), "panic")
}

// guarded turns a panic of a route into a 503, or cuts the connection if the answer has begun already: a caller must not
// take the part for the whole.
func (s *Service) guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tracked := &trackedWriter{ResponseWriter: w}
		defer func() {
			p := recover()
			if p == nil {
				return
			}
			if p == http.ErrAbortHandler { //nolint:errorlint // net/http itself compares the value that was thrown
				panic(p)
			}
			err := panicError(p)
			if tracked.begun {
				s.log.Error().Err(err).Str("path", r.URL.Path).Msg("a route failed in the middle of its answer")
				panic(http.ErrAbortHandler)
			}
			problem.Write(w, &s.log, http.StatusServiceUnavailable, err)
		}()
		next.ServeHTTP(tracked, r)
	})
}

// trackedWriter knows whether the answer has begun.
type trackedWriter struct {
	http.ResponseWriter
	begun bool
}

func (w *trackedWriter) WriteHeader(code int) {
	if code >= http.StatusOK {
		w.begun = true
	}
	w.ResponseWriter.WriteHeader(code)
}

func (w *trackedWriter) Write(b []byte) (int, error) {
	w.begun = true
	return w.ResponseWriter.Write(b)
}

// ReadFrom keeps the server's way of sending files without copying them.
func (w *trackedWriter) ReadFrom(r io.Reader) (int64, error) {
	w.begun = true
	return io.Copy(w.ResponseWriter, r)
}

// Unwrap is for http.ResponseController.
func (w *trackedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
