package internalapi

import (
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/tidegate/tidegate/dps-gateway/internal/outbox"
	"github.com/tidegate/tidegate/dps-gateway/internal/records"
	"github.com/tidegate/tidegate/eventing/catalogue"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/problem"
)

func (h *handler) listRecords(kind gatewayapi.Kind, w http.ResponseWriter, r *http.Request) error {
	after, limit, err := page(r)
	if err != nil {
		return err
	}
	docs, next, err := h.Records.List(r.Context(), r.PathValue("pc"), kind, after, limit)
	if err != nil {
		return err
	}
	return answer(w, http.StatusOK, gatewayapi.Page[json.RawMessage]{Items: docs, Next: next})
}

func (h *handler) getRecord(kind gatewayapi.Kind, w http.ResponseWriter, r *http.Request) error {
	rec, err := h.Records.Get(r.Context(), r.PathValue("pc"), kind, r.PathValue("id"))
	if err != nil {
		return err
	}
	w.Header().Set("ETag", records.ETag(rec.Revision))
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(rec.Doc)))
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(rec.Doc) //nolint:gosec // G705: JSON, marked as such; if the caller is gone nobody is left to tell
	return nil
}

// putRecord writes a record. With a condition it has its effect once; without, the last writer's document stands.
func (h *handler) putRecord(kind gatewayapi.Kind, w http.ResponseWriter, r *http.Request) error {
	cond, err := records.ParseCondition(r.Header.Get("If-Match"), r.Header.Get("If-None-Match"))
	if err != nil {
		return err
	}
	body, err := read(w, r, records.MaxDocument)
	if err != nil {
		return err
	}
	rev, err := h.Records.Put(r.Context(), r.PathValue("pc"), kind, r.PathValue("id"), body, cond)
	if err != nil {
		return err
	}
	w.Header().Set("ETag", records.ETag(rev))
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// deleteRecord removes a record; one that is not there is as good as removed.
func (h *handler) deleteRecord(kind gatewayapi.Kind, w http.ResponseWriter, r *http.Request) error {
	if _, err := h.Records.Delete(r.Context(), r.PathValue("pc"), kind, r.PathValue("id")); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// verdict tells a person's verdict on a decision in review to the approver, by an event. The same verdict twice makes the
// same event, with the same id; a verdict that the record holds already is taken as given.
func (h *handler) verdict(w http.ResponseWriter, r *http.Request) error {
	pc, id := r.PathValue("pc"), r.PathValue("id")
	var in gatewayapi.VerdictRequest
	if err := decode(w, r, &in); err != nil {
		return err
	}
	switch {
	case in.Verdict != gatewayapi.Approved && in.Verdict != gatewayapi.Rejected:
		return problem.Field("verdict", "is %q; approved or rejected is expected", in.Verdict)
	case in.By == "":
		return problem.Field("by", "is missing: the name of the person who decided is expected")
	}
	rec, err := h.Records.Get(r.Context(), pc, gatewayapi.KindDecision, id)
	if err != nil {
		return err
	}
	var d gatewayapi.Decision
	if err := json.Unmarshal(rec.Doc, &d); err != nil {
		return problem.Wrap(problem.Internal, err, "the decision's record is broken")
	}
	if d.Verdict != gatewayapi.Review {
		if d.Verdict == in.Verdict && d.By == in.By {
			w.WriteHeader(http.StatusAccepted)
			return nil
		}
		return problem.New(problem.Conflict, "the decision is not in review: it is %s, by %s", d.Verdict, d.By)
	}
	e, err := catalogue.New("dps-gateway", pc, catalogue.VerdictGiven, id,
		catalogue.Verdict{DecisionID: id, Verdict: string(in.Verdict), By: in.By, Reason: in.Reason},
		rec.Revision, string(in.Verdict), in.By)
	if err != nil {
		return err
	}
	entry, err := outbox.ForEvent(pc, e)
	if err != nil {
		return err
	}
	if err := h.Outbox.Append(r.Context(), entry); err != nil {
		return err
	}
	w.WriteHeader(http.StatusAccepted)
	return nil
}
