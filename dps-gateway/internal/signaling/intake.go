package signaling

import (
	"context"
	"net/http"

	"github.com/tidegate/tidegate/dps-gateway/internal/outbox"
	"github.com/tidegate/tidegate/eventing/catalogue"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/tenant"
)

// program is the gateway's name in the source of its events.
const program = "dps-gateway"

// keyed checks the key in the URL: EDC sends events and callbacks without a credential. A wrong key answers like a route that
// is not there.
func (h *handler) keyed(r *http.Request) error {
	if !h.Keys.Check(r.PathValue("key")) {
		return errNoRoute
	}
	return nil
}

// told is what the control plane tells: the request's event, if its key is right.
func (h *handler) told(w http.ResponseWriter, r *http.Request) (*edcEvent, error) {
	if err := h.keyed(r); err != nil {
		return nil, err
	}
	body, err := read(w, r, maxEvent)
	if err != nil {
		return nil, err
	}
	return decodeEvent(r.Header, body)
}

// events takes an event of the control plane and puts it on the outbox as an event of the catalogue, for the tenant that it
// names. It is a hint: EDC sends it at most once, so it waits while Redis is away, see Patience. Sent or kept twice it has the same id twice. What is of no interest, and what is of a
// participant context that is not ours, is acknowledged and dropped: one EDC serves many.
func (h *handler) events(w http.ResponseWriter, r *http.Request) error {
	e, err := h.told(w, r)
	if err != nil {
		return err
	}
	m, err := e.translate()
	if err != nil {
		return err
	}
	if m != nil {
		if _, ok := h.tenant(m.pc); !ok {
			h.Log.Debug().Str("participant_context", m.pc).Str("event", e.class).Msg("event of a participant context that is not ours")
			m = nil
		}
	}
	if m != nil {
		ce, err := catalogue.New(program, m.pc, m.eventType, m.subject, m.data, e.id)
		if err != nil {
			return err
		}
		ce.SetTime(e.at)
		ce.SetExtension(catalogue.ExtPartitionKey, m.pc+"/"+m.subject)
		entry, err := outbox.ForEvent(m.pc, ce)
		if err != nil {
			return err
		}
		if err := h.Patience.do(r.Context(), m.pc, func(ctx context.Context) error { return h.Outbox.Append(ctx, entry) }); err != nil {
			return err
		}
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// veto answers EDC's blocking callback of contract.negotiation.requested: 204 lets the negotiation go on, anything else stops
// it. There is no contract without a decision, so an approver that can't be reached is a 503. EDC calls for the consumer's
// side too, where there is nothing to decide: the provider's side is the one that has the dataset registered here.
func (h *handler) veto(w http.ResponseWriter, r *http.Request) error {
	e, err := h.told(w, r)
	if err != nil {
		return err
	}
	req, err := e.vetoRequest()
	if err != nil {
		return err
	}
	if req != nil {
		if err := h.Patience.do(r.Context(), req.ParticipantContextID, func(ctx context.Context) error { return h.askVeto(ctx, req) }); err != nil {
			return err
		}
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (h *handler) askVeto(ctx context.Context, req *gatewayapi.VetoRequest) error {
	_, ok := h.tenant(req.ParticipantContextID)
	if !ok && !h.Tenants.Known(req.ParticipantContextID) {
		return nil // not ours to decide
	}
	ours, err := h.provides(ctx, req.ParticipantContextID, req.Offers)
	if err != nil || !ours {
		return err
	}
	if !ok { // it is one of ours, but not in force: nobody can decide for it, so nothing is concluded
		return problem.New(problem.Unavailable, "there is no decision on the negotiation yet")
	}
	err = h.Vetoer.Veto(ctx, *req)
	switch {
	case err == nil:
		return nil
	case problem.Is(err, problem.Forbidden):
		return err
	}
	return problem.Wrap(problem.Unavailable, err, "there is no decision on the negotiation yet")
}

// provides tells whether the tenant is the provider: whether it has the dataset of an offer registered.
func (h *handler) provides(ctx context.Context, pc string, offers []gatewayapi.VetoOffer) (bool, error) {
	for _, o := range offers {
		_, err := h.Datasets.Get(ctx, pc, gatewayapi.KindDataset, o.AssetID)
		switch {
		case err == nil:
			return true, nil
		case problem.Is(err, problem.NotFound), problem.Is(err, problem.Invalid): // an id that no dataset can have
		default:
			return false, err
		}
	}
	return false, nil
}

func (h *handler) tenant(pc string) (*tenant.Tenant, bool) { return h.Tenants.Get(pc) }
