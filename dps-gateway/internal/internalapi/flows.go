package internalapi

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
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

func (h *handler) getAgreement(w http.ResponseWriter, r *http.Request) error {
	a, err := h.Agreements.Of(r.Context(), r.PathValue("pc"), r.PathValue("id"))
	if err != nil {
		return err
	}
	return answer(w, http.StatusOK, a)
}

func (h *handler) getAddress(w http.ResponseWriter, r *http.Request) error {
	a, err := h.Addresses.Address(r.Context(), r.PathValue("pc"), r.PathValue("id"))
	if err != nil {
		return err
	}
	w.Header().Set("Cache-Control", "no-store")
	return answer(w, http.StatusOK, a)
}

// renewAddress gives the data address of a flow with another token than the one that the other side has refused. Said twice of one
// token, it is renewed once.
func (h *handler) renewAddress(w http.ResponseWriter, r *http.Request) error {
	var in gatewayapi.RenewRequest
	if err := decode(w, r, &in); err != nil {
		return err
	}
	if b, err := hex.DecodeString(in.Refused); err != nil || len(b) != sha256.Size {
		return problem.Field("refused", "is not the SHA-256 of an access token in hexadecimal digits")
	}
	a, err := h.Addresses.Renew(r.Context(), r.PathValue("pc"), r.PathValue("id"), strings.ToLower(in.Refused))
	if err != nil {
		return err
	}
	w.Header().Set("Cache-Control", "no-store")
	return answer(w, http.StatusOK, a)
}

// prepared takes a function's word that what its hook has promised of a prepare is done. Said twice it is said once; of a flow that has
// ended meanwhile it is a conflict: the function is told of the end by itself.
func (h *handler) prepared(w http.ResponseWriter, r *http.Request) error {
	return h.report(w, r, h.Reports.ReportPrepared)
}

// started is prepared for a start.
func (h *handler) started(w http.ResponseWriter, r *http.Request) error {
	return h.report(w, r, h.Reports.ReportStarted)
}

func (h *handler) report(w http.ResponseWriter, r *http.Request, take func(context.Context, string, string, *gatewayapi.HookAnswer) error) error {
	var in gatewayapi.HookAnswer
	if err := decode(w, r, &in); err != nil {
		return err
	}
	if err := take(r.Context(), r.PathValue("pc"), r.PathValue("id"), &in); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// completed takes a function's word that all data of a flow has been moved: the flow ends, and the control plane is told. Said
// twice, or when the control plane has said it before, it is said once.
func (h *handler) completed(w http.ResponseWriter, r *http.Request) error {
	if err := decode(w, r, &struct{}{}); err != nil {
		return err
	}
	return h.apply(w, r, &flowstore.Transition{
		Signal: flowstore.Complete, From: []dps.State{dps.Started}, To: dps.Completed, DropToken: true, DropAddress: true,
		Effects: []flowstore.Effect{
			{Lane: outbox.LaneEvent, Kind: catalogue.DataFlowCompleted},
			{Lane: outbox.LaneCallback, Kind: string(outbox.CallbackCompleted)},
			{Lane: outbox.LaneHook, Kind: string(gatewayapi.HookComplete)},
		},
	}, dps.Completed)
}

// errored takes a function's word that a flow can't go on. The flow keeps its state (DPS 1.0: errored changes none): the control
// plane is told and, since EDC only logs that, the one of the tenant's document asked to terminate the transfer, which then terminates the flow. Said twice, or
// when the flow has been terminated meanwhile, it is said once. A control plane that waits for what a hook has promised is answered with
// the reason instead.
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
	if done, err := h.Reports.Failed(r.Context(), r.PathValue("pc"), r.PathValue("id"), reason); err != nil || done {
		if err == nil {
			w.WriteHeader(http.StatusNoContent)
		}
		return err
	}
	return h.apply(w, r, &flowstore.Transition{
		Signal: flowstore.Errored, From: []dps.State{dps.Initialized, dps.Preparing, dps.Prepared, dps.Starting, dps.Started, dps.Suspended},
		Reason: reason,
		Effects: []flowstore.Effect{
			{Lane: outbox.LaneCallback, Kind: string(outbox.CallbackErrored)},
			{Lane: outbox.LaneTerminate},
		},
	}, dps.Terminated)
}

// apply makes a transition that a function asked for. The signal itself is the message: a flow takes each of them once. A flow
// that is in the state to which it leads is no conflict.
func (h *handler) apply(w http.ResponseWriter, r *http.Request, t *flowstore.Transition, already dps.State) error {
	t.ParticipantContextID, t.DataFlowID = r.PathValue("pc"), r.PathValue("id")
	t.MessageID, t.Fingerprint, t.Now = string(t.Signal), string(t.Signal), time.Now().UTC()
	res, err := h.Flows.Apply(r.Context(), t)
	if err != nil {
		return err
	}
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
