package internalapi

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"sort"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"

	"github.com/tidegate/tidegate/eventing/catalogue"
	"github.com/tidegate/tidegate/shared/auth"
	"github.com/tidegate/tidegate/shared/eventsig"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/problem"
)

// The attributes by which Knative tells why an event went to the dead letter sink (Knative Eventing, event delivery).
const (
	extErrorDest = "knativeerrordest"
	extErrorCode = "knativeerrorcode"
	extErrorData = "knativeerrordata" // the last answer's body, in Base64 at Knative
)

// tenants lists the tenants in force and how they are; after them those that are gone and have left something behind. Documents that are
// refused belong to no tenant in force: they come last, under "-".
func (h *handler) tenants(w http.ResponseWriter, r *http.Request) error {
	after, limit, err := page(r)
	if err != nil {
		return err
	}
	p := gatewayapi.Page[gatewayapi.TenantStatus]{Items: []gatewayapi.TenantStatus{}}
	all := h.Tenants.All()
	from := sort.Search(len(all), func(i int) bool { return all[i].ParticipantContextID > after })
	for _, t := range all[from:] {
		if len(p.Items) == limit {
			p.Next = p.Items[limit-1].ParticipantContextID
			return answer(w, http.StatusOK, p)
		}
		s := gatewayapi.TenantStatus{ParticipantContextID: t.ParticipantContextID}
		s.Registered, s.Problems = h.Registrations.Status(t.ParticipantContextID)
		p.Items = append(p.Items, s)
	}
	p.Items = append(p.Items, h.Registrations.Left()...)
	if refused := h.Tenants.Problems(); len(refused) > 0 {
		s := gatewayapi.TenantStatus{ParticipantContextID: "-"}
		for _, err := range refused {
			s.Problems = append(s.Problems, err.Error())
		}
		p.Items = append(p.Items, s)
	}
	return answer(w, http.StatusOK, p)
}

func (h *handler) listParked(w http.ResponseWriter, r *http.Request) error {
	after, limit, err := page(r)
	if err != nil {
		return err
	}
	p, err := h.Parked.List(r.Context(), r.PathValue("pc"), after, limit)
	if err != nil {
		return err
	}
	return answer(w, http.StatusOK, p)
}

func (h *handler) redrive(w http.ResponseWriter, r *http.Request) error {
	if err := h.Parked.Redrive(r.Context(), r.PathValue("pc"), r.PathValue("id")); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (h *handler) deleteParked(w http.ResponseWriter, r *http.Request) error {
	if err := h.Parked.Delete(r.Context(), r.PathValue("pc"), r.PathValue("id")); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// deadLetter takes an event that the broker has given up. The same event twice is parked once. An event of no tenant in
// force is parked for the operator: it is never lost.
func (h *handler) deadLetter(w http.ResponseWriter, r *http.Request) error {
	r.Body = http.MaxBytesReader(w, r.Body, maxEvent)
	_, bearer := auth.Bearer(r.Header) // a wrong one has not come this far
	e, err := cehttp.NewEventFromHTTPRequest(r)
	if err != nil && !bearer {
		return errStranger
	}
	if err != nil {
		return problem.Wrap(problem.Invalid, err, "the request is no CloudEvent of at most %d bytes", maxEvent)
	}
	if err := e.Validate(); err != nil {
		return problem.Wrap(problem.Invalid, err, "the CloudEvent is not valid")
	}
	if !bearer && !eventsig.Check(h.Secret, e) {
		if eventsig.Signed(e) {
			return problem.New(problem.Unavailable, "the signature of the event does not hold under any secret that is known here")
		}
		return errStranger
	}
	pc, _ := e.Extensions()[catalogue.ExtParticipantContextID].(string)
	if _, ok := h.Tenants.Get(pc); !ok {
		pc = ""
	}
	if _, err := h.Parked.ParkEvent(r.Context(), pc, e, deadLetterReason(e)); err != nil {
		return err
	}
	h.Log.Warn().Str("participant_context", pc).Str("ce_id", e.ID()).Str("ce_type", e.Type()).Msg("the broker gave an event up: parked")
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// deadLetterReason puts what Knative says of the last attempt in one line, and takes its attributes off the event: a
// re-driven event is the one that was sent first.
func deadLetterReason(e *event.Event) string {
	ext := e.Extensions()
	text := func(name string) string {
		v, ok := ext[name]
		if !ok {
			return ""
		}
		e.SetExtension(name, nil)
		return fmt.Sprint(v)
	}
	dest, code, data := text(extErrorDest), text(extErrorCode), text(extErrorData)
	var b strings.Builder
	b.WriteString("given up by the broker")
	if dest != "" {
		b.WriteString("; subscriber " + dest)
	}
	if code != "" {
		b.WriteString("; last answer " + code)
	}
	if detail := errorDetail(data); detail != "" {
		b.WriteString(": " + detail)
	}
	return b.String()
}

func errorDetail(data string) string {
	if raw, err := base64.StdEncoding.DecodeString(data); err == nil && utf8.Valid(raw) {
		data = string(raw)
	}
	var doc problem.Document
	if json.Unmarshal([]byte(data), &doc) == nil && doc.Status != 0 {
		data = strings.TrimSpace(doc.Field + " " + doc.Detail)
	}
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, data))
}
