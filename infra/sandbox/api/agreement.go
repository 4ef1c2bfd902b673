package api

import (
	"net/http"
	"time"

	"github.com/tidegate/tidegate/infra/sandbox/model"
	"github.com/tidegate/tidegate/infra/sandbox/store"
)

// transferAgreement answers the agreement of a transfer to the data plane that serves it, as DPS 1.0 has it (a DSP 2025/1 agreement). The
// caller is held to the rules of callbacks; whatever is wrong with it is one answer.
func (s *Server) transferAgreement(w http.ResponseWriter, r *http.Request) {
	t, plane := s.Engine.FlowPlane(r.PathValue("id"))
	if t == nil {
		htmlError(w, r, http.StatusUnauthorized)
		return
	}
	if reason := s.checkPlane(r, plane); reason != "" {
		s.Log.Info().Str("process_id", t.ID).Str("dataplane", plane.ID).Str("reason", reason).Msg("agreement refused")
		htmlError(w, r, http.StatusUnauthorized)
		return
	}
	var a *model.Agreement
	s.Engine.Store.View(func(tx *store.Tx) { a = s.Engine.Store.Agreements.Get(tx, t.ContractID) })
	if a == nil {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	out := allRules(a.Policy)
	out["@context"] = []string{"https://w3id.org/dspace/2025/1/context.jsonld"}
	out["@type"], out["@id"], out["target"] = "Agreement", a.AgreementID, a.AssetID
	out["assigner"], out["assignee"] = a.ProviderID, a.ConsumerID
	out["timestamp"] = time.Unix(a.SigningDate, 0).UTC().Format(time.RFC3339)
	writeJSON(w, http.StatusOK, out)
}
