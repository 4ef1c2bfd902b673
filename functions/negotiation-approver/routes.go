package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"time"

	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/functions/rules"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/management"
	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/tenant"
)

const (
	maxRequest  = 1 << 20         // bytes of a veto or a decide request
	publishTime = 3 * time.Second // for telling of a decision; nobody who waits for the decision waits longer for that
)

// vetoRoute answers the control plane's blocking callback: 204 lets the negotiation go on, 403 with the reason refuses it.
// What is for a person to decide is refused: a contract can't be held open, and none may be concluded without a decision.
func (h *handler) vetoRoute() http.Handler {
	return route(func(ctx context.Context, w http.ResponseWriter, req *gatewayapi.VetoRequest) error {
		if req.NegotiationID == "" {
			return problem.Field("negotiationId", "is missing: the id of the negotiation is expected")
		}
		if len(req.Offers) == 0 {
			return problem.Field("offers", "is empty: the offer that is negotiated is expected")
		}
		t, cp, err := h.tenant(req.ParticipantContextID)
		if err != nil {
			return err
		}
		if t.Approve.Mode == "watch" { // the event decides; the veto lets everything pass
			w.WriteHeader(http.StatusNoContent)
			return nil
		}
		last := req.Offers[len(req.Offers)-1] // the one on the table
		offer := rules.NewOffer(last.ID, last.Policy)
		d, err := h.decide(ctx, t, cp, subject{
			negotiationID: req.NegotiationID, datasetID: last.AssetID, counterPartyID: req.CounterPartyID, address: req.CounterPartyAddress, offer: &offer,
		})
		if err != nil {
			return err
		}
		if d == nil { // none of the tenant's datasets: the tenant is the consumer here
			w.WriteHeader(http.StatusNoContent)
			return nil
		}
		h.tell(ctx, t, d)
		switch d.Verdict {
		case gatewayapi.Approved:
			w.WriteHeader(http.StatusNoContent)
			return nil
		case gatewayapi.Review:
			return problem.New(problem.Forbidden, "a person must decide: %s", d.Reason)
		case gatewayapi.Rejected:
		}
		return problem.New(problem.Forbidden, "%s", d.Reason)
	})
}

// decideRoute answers the gateway, which holds a provider start whose agreement has no decision.
func (h *handler) decideRoute() http.Handler {
	return route(func(ctx context.Context, w http.ResponseWriter, req *gatewayapi.DecideRequest) error {
		if req.AgreementID == "" {
			return problem.Field("agreementId", "is missing: the id of the agreement is expected")
		}
		t, cp, err := h.tenant(req.ParticipantContextID)
		if err != nil {
			return err
		}
		n, err := cp.AgreementNegotiation(ctx, req.AgreementID)
		if problem.Is(err, problem.NotFound) {
			return problem.New(problem.Unprocessable, "the control plane knows no agreement %s", req.AgreementID)
		}
		if err != nil {
			return err
		}
		if n.AssetID != req.DatasetID || n.CounterPartyID != req.CounterPartyID {
			return problem.New(problem.Forbidden, "agreement %s is not about this dataset and counterparty", req.AgreementID)
		}
		d, err := h.bind(ctx, t, cp, n, req.Claims)
		if err != nil {
			return err
		}
		if d == nil {
			return problem.New(problem.Unprocessable, "dataset %s is none of this participant context's", req.DatasetID)
		}
		h.tell(ctx, t, d)
		return writeJSON(w, d)
	})
}

func (h *handler) tenant(pc string) (*tenant.Tenant, controlPlane, error) {
	t, ok := h.tenants.Get(pc)
	if !ok {
		return nil, nil, problem.New(problem.NotFound, "no such participant context")
	}
	cp, err := h.controlPlane(t)
	return t, cp, err
}

// tell publishes a decision that no event asked for. The record is what counts: a broker that can't be reached now does not
// change the answer, and a later call of the same kind tells it again.
func (h *handler) tell(ctx context.Context, t *tenant.Tenant, d *gatewayapi.Decision) {
	ctx, cancel := context.WithTimeout(ctx, publishTime)
	defer cancel()
	e, err := decided(t.ParticipantContextID, d)
	if err == nil {
		err = h.publish(ctx, e)
	}
	if err != nil {
		zerolog.Ctx(ctx).Warn().Err(err).Str("decision_id", d.ID).Msg("the decision stands but could not be told")
	}
}

// route decodes a request and maps an error to its answer.
func route[T any](f func(context.Context, http.ResponseWriter, *T) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		log := zerolog.Ctx(r.Context())
		var req T
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
		if err == nil {
			dec := json.NewDecoder(bytes.NewReader(body))
			dec.DisallowUnknownFields()
			err = dec.Decode(&req)
		}
		if err != nil {
			err = problem.Wrap(problem.Invalid, err, "the body is not the JSON that is expected")
		} else {
			err = f(r.Context(), w, &req)
		}
		if err != nil {
			problem.Write(w, log, problem.Status(err), err)
		}
	})
}

func writeJSON(w http.ResponseWriter, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return problem.Wrap(problem.Internal, err, "writing the answer")
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(b) // the caller is gone: nobody is left to tell
	return nil
}

var _ controlPlane = (*management.Client)(nil)
