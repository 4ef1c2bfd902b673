package internalapi

import (
	"net/http"
	"strings"

	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/problem"
)

// maxReason bounds what a function tells of a failure, in bytes: it reaches the control plane.
const maxReason = 1000

func (h *handler) listFlows(w http.ResponseWriter, r *http.Request) error {
	after, limit, err := page(r)
	if err != nil {
		return err
	}
	p, err := h.Flows.List(r.Context(), r.PathValue("pc"), after, limit)
	if err != nil {
		return err
	}
	if p.Items == nil {
		p.Items = []gatewayapi.Flow{}
	}
	return answer(w, http.StatusOK, p)
}

func (h *handler) getFlow(w http.ResponseWriter, r *http.Request) error {
	f, err := h.Flows.Get(r.Context(), r.PathValue("pc"), r.PathValue("id"))
	if err != nil {
		return err
	}
	return answer(w, http.StatusOK, f)
}

func (h *handler) getAddress(w http.ResponseWriter, r *http.Request) error {
	a, err := h.Flows.Address(r.Context(), r.PathValue("pc"), r.PathValue("id"))
	if err != nil {
		return err
	}
	w.Header().Set("Cache-Control", "no-store")
	return answer(w, http.StatusOK, a)
}

// completed takes a function's word that all data of a flow has been moved. Said twice it is said once.
func (h *handler) completed(w http.ResponseWriter, r *http.Request) error {
	if err := decode(w, r, &struct{}{}); err != nil {
		return err
	}
	if err := h.Flows.Complete(r.Context(), r.PathValue("pc"), r.PathValue("id")); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// errored takes a function's word that a flow can't go on. Said twice it is said once.
func (h *handler) errored(w http.ResponseWriter, r *http.Request) error {
	var in gatewayapi.ErroredRequest
	if err := decode(w, r, &in); err != nil {
		return err
	}
	reason := strings.ToValidUTF8(in.Reason, "\ufffd")
	if len(reason) > maxReason {
		reason = strings.ToValidUTF8(reason[:maxReason], "")
	}
	if strings.TrimSpace(reason) == "" {
		return problem.Field("reason", "is missing: what the control plane and the operator are to be told is expected")
	}
	if err := h.Flows.Errored(r.Context(), r.PathValue("pc"), r.PathValue("id"), reason); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
