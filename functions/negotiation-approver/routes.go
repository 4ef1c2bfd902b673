package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/functions/controlplanes"
	"github.com/tidegate/tidegate/functions/rules"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/telemetry"
	"github.com/tidegate/tidegate/shared/tenant"
)

const (
	maxRequest  = 1 << 20         // bytes of a veto or a decide request
	publishTime = 3 * time.Second // for telling of a decision; nobody who waits for the decision waits longer for that
)

// vetoRoute answers the control plane's blocking callback: 204 lets the negotiation go on, 403 with the reason refuses it.
// What is for a person to decide is refused: a contract can't be held open, and none may be concluded without a decision.
func (h *handler) vetoRoute() http.Handler {
	return h.route(func(ctx context.Context, w http.ResponseWriter, body []byte) error {
		req, err := decode[gatewayapi.VetoRequest](body)
		if err != nil {
			return err
		}
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
		if last.AssetID == "" {
			return problem.Field("offers", "the last one has no assetId: the id of the dataset is expected")
		}
		offer := rules.NewOffer(last.ID, last.Policy)
		d, err := h.decide(ctx, t, cp, subject{
			negotiationID: req.NegotiationID, datasetID: last.AssetID, counterPartyID: req.CounterPartyID, address: req.CounterPartyAddress, offer: &offer,
		})
		if err != nil {
			return controlplanes.Passing(err) // a refusal of our own token is no verdict
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
	return h.route(func(ctx context.Context, w http.ResponseWriter, body []byte) error {
		req, err := decode[gatewayapi.DecideRequest](body)
		if err != nil {
			return err
		}
		if req.AgreementID == "" {
			return problem.Field("agreementId", "is missing: the id of the agreement is expected")
		}
		t, cp, err := h.tenant(req.ParticipantContextID)
		if err != nil {
			return err
		}
		d, err := h.asked(ctx, t, cp, req)
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

// asked decides on an agreement, of whichever control plane it is.
func (h *handler) asked(ctx context.Context, t *tenant.Tenant, cp controlPlane, req *gatewayapi.DecideRequest) (*gatewayapi.Decision, error) {
	if a := req.Agreement; a != nil {
		if a.DatasetID != req.DatasetID || a.ConsumerID != req.CounterPartyID || a.ProviderID != t.DID {
			return nil, problem.New(problem.Forbidden, "agreement %s is not about this dataset, counterparty and participant", req.AgreementID)
		}
		d, err := h.bindTold(ctx, t, req)
		return d, controlplanes.Passing(err)
	}
	n, err := cp.AgreementNegotiation(ctx, req.AgreementID)
	if problem.Is(err, problem.NotFound) {
		return nil, problem.New(problem.Unprocessable, "the control plane knows no agreement %s", req.AgreementID)
	}
	if err != nil {
		return nil, controlplanes.Passing(err)
	}
	if n.Type != provider || n.AssetID != req.DatasetID || n.CounterPartyID != req.CounterPartyID {
		return nil, problem.New(problem.Forbidden, "agreement %s is not about this dataset and counterparty", req.AgreementID)
	}
	d, err := h.bind(ctx, t, cp, n, req.Claims)
	return d, controlplanes.Passing(err)
}

func (h *handler) tenant(pc string) (*tenant.Tenant, controlPlane, error) {
	t, err := h.tenants.Expect(pc)
	if err != nil {
		return nil, nil, err
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
	log := zerolog.Ctx(ctx)
	log.Info().Str("participant_context_id", t.ParticipantContextID).Str("decision_id", d.ID).Str("dataset_id", d.DatasetID).
		Str("counterparty_id", d.CounterPartyID).Str("verdict", string(d.Verdict)).Str("rule", d.Rule).Str("by", d.By).Msg("decided")
	if err != nil {
		log.Warn().Err(err).Str("decision_id", d.ID).Msg("the decision stands but could not be told")
	}
}

// route decodes a request, answers it within the deadline of one delivery, and maps an error to its answer. It logs one line
// for each call that was answered; problem.Write logs the others.
func (h *handler) route(answer func(context.Context, http.ResponseWriter, []byte) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		trace, ok := telemetry.FromHeader(r.Header)
		if !ok {
			trace = telemetry.New()
		}
		log := h.log.With().Str("route", r.URL.Path).Str("trace_id", trace.TraceID).Logger()
		ctx, cancel := context.WithTimeout(telemetry.NewContext(log.WithContext(r.Context()), trace.Child()), h.deadline)
		defer cancel()

		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
		if _, large := errors.AsType[*http.MaxBytesError](err); large {
			err = problem.New(problem.TooLarge, "the request has more than %d bytes", maxRequest)
		} else if err != nil {
			err = problem.Wrap(problem.Invalid, err, "the body could not be read")
		} else {
			err = answer(ctx, w, body)
		}
		if err != nil {
			problem.Write(w, &log, problem.Status(err), err)
			return
		}
		log.Debug().Dur("duration", time.Since(start)).Msg("answered")
	})
}

// decode reads a request. A member that a newer gateway sends is no fault.
func decode[T any](body []byte) (*T, error) {
	var req T
	if err := json.Unmarshal(body, &req); err != nil {
		return nil, problem.Wrap(problem.Invalid, err, "the body is not the JSON that is expected")
	}
	return &req, nil
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
