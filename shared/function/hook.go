package function

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/telemetry"
)

// maxHook bounds a hook's request, in bytes: a flow with its claims and metadata, and a data address.
const maxHook = 1 << 20

// ErrLater is what a Hook returns if what it was asked will be done after the answer (202): the function then says so by
// gatewayapi.Client.Prepared, Started or Errored.
var ErrLater = errors.New("it will be done later")

// Hook serves a transfer profile: it is asked before a data flow is prepared, started or resumed, and told when one is suspended,
// terminated or completed (gatewayapi.PathHook). An error of a kind whose status is 4xx refuses what was asked, with its message as the
// reason that the control plane gets; any other error is a passing failure, and the gateway calls again. It must bear the same call twice and
// late. Its context ends when the gateway does not wait any more, and carries the logger (zerolog.Ctx) and the trace.
type Hook func(ctx context.Context, r *gatewayapi.HookRequest) (*gatewayapi.HookAnswer, error)

// HandleHook serves POST /hook with the hook, behind the internal token.
func (s *Service) HandleHook(h Hook) {
	s.Handle("POST "+gatewayapi.PathHook, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		req, err := decodeHook(w, r)
		if err != nil {
			problem.Write(w, &s.log, problem.Status(err), err)
			return
		}
		trace, ok := telemetry.FromHeader(r.Header)
		if trace = trace.Child(); !ok {
			trace = telemetry.New()
		}
		log := s.log.With().Str("hook", string(req.Kind)).Str("participant_context_id", req.Flow.ParticipantContextID).
			Str("process_id", req.Flow.DataFlowID).Str("profile", req.Flow.Profile).Str("trace_id", trace.TraceID).Logger()
		ctx, cancel := context.WithTimeout(telemetry.NewContext(log.WithContext(r.Context()), trace), s.hookTime(req))
		defer cancel()
		answer, err := h(ctx, req)
		line := func(outcome string) {
			log.Info().Dur("duration", time.Since(began)).Str("outcome", outcome).Msg("hook called")
		}
		switch {
		case errors.Is(err, ErrLater) && req.Kind.Asked():
			line("later")
			w.WriteHeader(http.StatusAccepted)
		case err != nil:
			if ctx.Err() != nil && problem.Is(err, problem.Internal) {
				err = problem.Wrap(problem.Unavailable, err, "the call could not be answered in time")
			}
			status := problem.Status(err)
			if status < http.StatusInternalServerError {
				log.Warn().Err(err).Int("status", status).Dur("duration", time.Since(began)).Str("outcome", "refused").Msg("hook called")
			}
			problem.Write(w, &log, status, err)
		default:
			line("done")
			writeHook(w, &log, answer)
		}
	}))
}

// hookTime is how long a hook may take: no longer than the gateway waits, and no longer than a delivery of the broker.
func (s *Service) hookTime(r *gatewayapi.HookRequest) time.Duration {
	limit := s.cfg.Deadline
	if d := time.Duration(r.AnswerWithinMS) * time.Millisecond; d > 0 && d < limit {
		limit = d
	}
	return limit
}

func decodeHook(w http.ResponseWriter, r *http.Request) (*gatewayapi.HookRequest, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxHook))
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, problem.New(problem.TooLarge, "a hook's request may have %d bytes", maxHook)
	}
	if err != nil {
		return nil, problem.Wrap(problem.Timeout, err, "the body can't be read")
	}
	var req gatewayapi.HookRequest
	if err := json.Unmarshal(body, &req); err != nil {
		return nil, problem.Wrap(problem.Invalid, err, "the body is no hook's request")
	}
	for _, m := range []struct{ name, value string }{
		{"kind", string(req.Kind)}, {"key", req.Key}, {"flow.participantContextId", req.Flow.ParticipantContextID}, {"flow.dataFlowId", req.Flow.DataFlowID},
	} {
		if m.value == "" {
			return nil, problem.Field(m.name, "is missing")
		}
	}
	return &req, nil
}

func writeHook(w http.ResponseWriter, log *zerolog.Logger, answer *gatewayapi.HookAnswer) {
	if answer == nil {
		answer = &gatewayapi.HookAnswer{}
	}
	body, err := json.Marshal(answer)
	if err != nil {
		problem.Write(w, log, http.StatusInternalServerError, problem.Wrap(problem.Internal, err, "the answer"))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store") // it may hold a secret
	_, _ = w.Write(body)                        // the gateway is gone: it will ask again
}
