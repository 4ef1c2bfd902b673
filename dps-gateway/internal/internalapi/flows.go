package internalapi

import (
	"net/http"
	"strings"
	"time"

	"github.com/tidegate/tidegate/dps-gateway/internal/flowstore"
	"github.com/tidegate/tidegate/dps-gateway/internal/outbox"
	"github.com/tidegate/tidegate/eventing/catalogue"
	"github.com/tidegate/tidegate/shared/dps"
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
	return answer(w, http.StatusOK, f.Flow)
}

func (h *handler) getAddress(w http.ResponseWriter, r *http.Request) error {
	a, err := h.Flows.Address(r.Context(), r.PathValue("pc"), r.PathValue("id"))
	if err != nil {
		return err
	}
	w.Header().Set("Cache-Control", "no-store")
	return answer(w, http.StatusOK, a)
}

// completed ends a flow whose data has all been moved, and has the control plane told. A flow that is completed already,
// by whomever, is a success: said twice it is said once.
func (h *handler) completed(w http.ResponseWriter, r *http.Request) error {
	if err := decode(w, r, &struct{}{}); err != nil {
		return err
	}
	res, err := h.Flows.Apply(r.Context(), &flowstore.Transition{
		ParticipantContextID: r.PathValue("pc"), DataFlowID: r.PathValue("id"),
		Signal: flowstore.Complete, MessageID: string(flowstore.Complete), Fingerprint: string(flowstore.Complete),
		From: []dps.State{dps.Started}, To: dps.Completed, DropToken: true, DropAddress: true,
		Effects: []flowstore.Effect{
			{Lane: outbox.LaneEvent, Kind: catalogue.DataFlowCompleted},
			{Lane: outbox.LaneCallback, Kind: string(outbox.CallbackCompleted)},
		},
		Now: time.Now().UTC(),
	})
	if err != nil {
		return err
	}
	return outcome(w, res, dps.Completed)
}

// errored has the control plane told that a flow can't go on, and the transfer terminated. The flow's state changes only
// when the control plane then terminates it (DPS 1.0: errored is no transition). Said twice it is said once.
func (h *handler) errored(w http.ResponseWriter, r *http.Request) error {
	var in gatewayapi.ErroredRequest
	if err := decode(w, r, &in); err != nil {
		return err
	}
	reason := strings.ToValidUTF8(in.Reason, "\ufffd")
	if len(reason) > maxReason {
		reason = strings.ToValidUTF8(reason[:maxReason], "")
	}
	if reason == "" {
		return problem.Field("reason", "is missing: what the control plane and the operator are to be told is expected")
	}
	res, err := h.Flows.Apply(r.Context(), &flowstore.Transition{
		ParticipantContextID: r.PathValue("pc"), DataFlowID: r.PathValue("id"),
		Signal: flowstore.Errored, MessageID: string(flowstore.Errored), Fingerprint: string(flowstore.Errored),
		From:   []dps.State{dps.Preparing, dps.Prepared, dps.Starting, dps.Started, dps.Suspended},
		Reason: reason,
		Effects: []flowstore.Effect{
			{Lane: outbox.LaneCallback, Kind: string(outbox.CallbackErrored)},
			{Lane: outbox.LaneTerminate},
		},
		Now: time.Now().UTC(),
	})
	if err != nil {
		return err
	}
	return outcome(w, res, dps.Terminated)
}

// outcome answers a function's word on a flow: no content if it took effect, now or earlier, or is the state already.
func outcome(w http.ResponseWriter, res flowstore.Result, already dps.State) error {
	switch res.Outcome {
	case flowstore.Applied, flowstore.Replayed:
	case flowstore.Unknown:
		return problem.New(problem.NotFound, "there is no such data flow")
	default:
		if res.State != already {
			return problem.New(problem.Conflict, "the data flow is %s", res.State)
		}
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
