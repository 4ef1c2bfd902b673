package signaling

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"

	"github.com/tidegate/tidegate/dps-gateway/internal/dataflow"
	"github.com/tidegate/tidegate/dps-gateway/internal/flowstore"
	"github.com/tidegate/tidegate/shared/dps"
	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/tenant"
)

// signaled is a DPS request that has been authenticated.
type signaled struct {
	dataflow.Call
	tenant  *tenant.Tenant
	dialect dps.Dialect
	body    []byte
}

type operation func(h *handler, r *http.Request, s *signaled) (dataflow.Answer, error)

// signal authenticates a DPS request, reads its body, and sends what the operation answers. While Redis is away it waits, see Patience.
func signal(do operation) func(*handler, http.ResponseWriter, *http.Request) error {
	return func(h *handler, w http.ResponseWriter, r *http.Request) error {
		pc := r.PathValue("participantContextId")
		var answer dataflow.Answer
		b := &body{w: w, r: r, limit: maxSignal}
		err := h.Patience.do(r.Context(), pc, func(ctx context.Context) error {
			c, err := h.authenticate(ctx, r)
			if err != nil {
				return err
			}
			text, err := b.read()
			if err != nil {
				return err
			}
			answer, err = do(h, r, signaledBy(c, r, text))
			return err
		})
		if err != nil {
			return err
		}
		header := w.Header()
		header.Set("Content-Type", "application/json")
		header.Set("Cache-Control", "no-store") // it may hold an access token
		code := http.StatusOK
		if id, promised := answer.Promise(); promised {
			header.Set("Location", h.URL+"/participants/"+pc+"/dataflows/"+url.PathEscape(id)+"/status")
			code = http.StatusAccepted
		}
		w.WriteHeader(code)
		_, _ = w.Write(answer) // a caller that is gone will ask again, and get the same
		return nil
	}
}

func signaledBy(c *caller, r *http.Request, body []byte) *signaled {
	if c.once != nil {
		c.once.Request = requestDigest(r, body)
	}
	t := c.tenant
	dialect := dps.Dialect(t.ControlPlane.Dialect)
	return &signaled{
		Call: dataflow.Call{
			ParticipantContextID: t.ParticipantContextID, Caller: &flowstore.Caller{ControlPlane: c.owner}, DataFlowID: r.PathValue("id"), Once: c.once, Profiles: t.Profiles,
			Asynchronous: t.ControlPlane.Answers == tenant.AnswersAsynchronous,
			StartsAgain:  dialect.StartsAgain(), StartsBlind: t.ControlPlane.Tolerates(tenant.ToleratePullWithoutAddress),
		},
		tenant: t, dialect: dialect, body: body,
	}
}

func (h *handler) prepare(r *http.Request, s *signaled) (dataflow.Answer, error) {
	m, err := dps.DecodeFlowMessage(s.body, dps.SignalPrepare, s.dialect)
	if err != nil {
		return nil, err
	}
	return h.Flows.Prepare(r.Context(), s.Call, m)
}

func (h *handler) start(r *http.Request, s *signaled) (dataflow.Answer, error) {
	m, err := dps.DecodeFlowMessage(s.body, dps.SignalStart, s.dialect)
	if err != nil {
		return nil, err
	}
	if a := m.DataAddress; a != nil && a.EndpointType == dps.EndpointTypeHTTP && s.tenant.ControlPlane.Tolerates(tenant.TolerateHTTPAddressType) {
		a.EndpointType = m.Profile
	}
	return h.Flows.Start(r.Context(), s.Call, m)
}

func (h *handler) started(r *http.Request, s *signaled) (dataflow.Answer, error) {
	m, err := dps.DecodeStarted(s.body, s.dialect)
	if err != nil {
		return nil, err
	}
	if err := s.demanded(m.DataAddress); err != nil {
		return nil, err
	}
	return h.Flows.Started(r.Context(), s.Call, m)
}

func (h *handler) suspend(r *http.Request, s *signaled) (dataflow.Answer, error) {
	m, err := dps.DecodeSuspend(s.body, s.dialect)
	if err != nil {
		return nil, err
	}
	return h.Flows.Suspend(r.Context(), s.Call, m)
}

func (h *handler) resume(r *http.Request, s *signaled) (dataflow.Answer, error) {
	m, err := dps.DecodeResume(s.body, s.dialect)
	if err != nil {
		return nil, err
	}
	if err := s.demanded(m.DataAddress); err != nil {
		return nil, err
	}
	return h.Flows.Resume(r.Context(), s.Call, m)
}

// demanded refuses an address for pull that can't be renewed, if the tenant demands that it can.
func (s *signaled) demanded(a *dps.DataAddress) error {
	if !s.tenant.Renewal.Demand || a == nil || a.EndpointType != dps.ProfileHTTPPull {
		return nil
	}
	return dps.DemandRenewal(a)
}

func (h *handler) terminate(r *http.Request, s *signaled) (dataflow.Answer, error) {
	m, err := dps.DecodeTerminate(s.body, s.dialect)
	if err != nil {
		return nil, err
	}
	return h.Flows.Terminate(r.Context(), s.Call, m)
}

func (h *handler) completed(r *http.Request, s *signaled) (dataflow.Answer, error) {
	m, err := dps.DecodeCompleted(s.body)
	if err != nil {
		return nil, err
	}
	return h.Flows.Completed(r.Context(), s.Call, m.MessageID)
}

func (h *handler) status(r *http.Request, s *signaled) (dataflow.Answer, error) {
	st, err := h.Flows.Status(r.Context(), s.Call)
	if err != nil {
		return nil, err
	}
	b, err := json.Marshal(st)
	if err != nil {
		return nil, problem.Wrap(problem.Internal, err, "the status")
	}
	return b, nil
}
