package api

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/tidegate/tidegate/infra/sandbox/idp"
	"github.com/tidegate/tidegate/infra/sandbox/model"
	"github.com/tidegate/tidegate/infra/sandbox/signaling"
)

// callback is a data plane's prepared, started, completed or errored. Whatever is wrong with the caller is one answer: 401, an
// unknown transfer and one whose data plane is not known yet included.
func (s *Server) callback(w http.ResponseWriter, r *http.Request) {
	id, what := r.PathValue("id"), r.PathValue("what")
	switch what {
	case "prepared", "started", "completed", "errored":
	default:
		htmlError(w, r, http.StatusNotFound)
		return
	}
	t, plane := s.Engine.FlowPlane(id)
	if t == nil {
		htmlError(w, r, http.StatusUnauthorized)
		return
	}
	if s.Engine.Injector.RefuseCallback(t.ParticipantContextID, id) {
		s.Log.Info().Str("participant", t.ParticipantContextID).Str("process_id", id).Str("callback", what).Msg("callback refused on purpose")
		htmlError(w, r, http.StatusUnauthorized)
		return
	}
	if reason := s.checkPlane(r, plane); reason != "" {
		s.Log.Info().Str("process_id", id).Str("dataplane", plane.ID).Str("reason", reason).Msg("callback refused")
		htmlError(w, r, http.StatusUnauthorized)
		return
	}
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	var answer *signaling.Answer
	var detail struct {
		Error string `json:"error"`
	}
	if what != "completed" { // whose body is ignored
		if answer, err = signaling.DecodeAnswer(b); err != nil {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		_ = json.Unmarshal(b, &detail) // decoded above
	}
	w.WriteHeader(s.Engine.Callback(r.Context(), id, what, answer, detail.Error))
}

// checkPlane checks the bearer token of a data plane by its registration; "" is good.
func (s *Server) checkPlane(r *http.Request, p *model.DataPlane) string {
	get := func(k string) string { v, _ := p.Authorization[k].(string); return v }
	typ := get("type")
	if s.Engine.Planes.Registers(p) {
		return s.checkClient(r, p)
	}
	if p.Authorization == nil {
		return "" // no authorization registered: not checked
	}
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return "no bearer token"
	}
	var keys *jose.JSONWebKeySet
	switch {
	case p.Authorization["jwks"] != nil:
		b, err := json.Marshal(p.Authorization["jwks"])
		keys = &jose.JSONWebKeySet{}
		if err != nil || json.Unmarshal(b, keys) != nil {
			return "the registered jwks cannot be read"
		}
	case get("jwksUri") != "":
		var err error
		if keys, err = idp.FetchKeys(r.Context(), s.HC, get("jwksUri")); err != nil {
			return "the keys of jwksUri cannot be had: " + err.Error()
		}
	case typ == signaling.TypeTokenExchange:
		return "token exchange without jwksUri"
	}
	claims, err := s.IDP.VerifySignaling(token, keys)
	if err != nil {
		return err.Error()
	}
	caller := claims.Subject
	if typ == signaling.TypeTokenExchange {
		if claims.Issuer == "" || claims.Issuer != get("issuer") || claims.Scope() == "" {
			return "iss or scope is missing or wrong"
		}
		if c := claims.ClientID(); c != "" {
			caller = c
		}
	}
	switch {
	case caller == "" || caller != p.ID:
		return "the token is of " + caller
	case claims.ID != "" && !s.seen.first(claims.ID, claims.Expiry.Time()):
		return "the token has been used before"
	}
	return ""
}

// checkClient checks the bearer token of a data plane at which the control plane has registered itself: it must be one of our own identity
// provider, which the data plane got as the client that the registration names.
func (s *Server) checkClient(r *http.Request, p *model.DataPlane) string {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return "no bearer token"
	}
	claims, err := s.IDP.Verify(token)
	switch {
	case err != nil:
		return err.Error()
	case claims.Subject != p.ID:
		return "the token is of " + claims.Subject
	case claims.ID != "" && !s.seen.first(claims.ID, claims.Expiry.Time()):
		return "the token has been used before"
	}
	return ""
}

// jtis remembers token ids until the tokens expire.
type jtis struct {
	mu    sync.Mutex
	until map[string]time.Time
	sweep time.Time
}

// first reports whether an id is new, and remembers it.
func (j *jtis) first(id string, expiry time.Time) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	now := time.Now()
	if j.until == nil {
		j.until = map[string]time.Time{}
	}
	if now.After(j.sweep) {
		for k, t := range j.until {
			if now.After(t) {
				delete(j.until, k)
			}
		}
		j.sweep = now.Add(time.Minute)
	}
	if _, ok := j.until[id]; ok {
		return false
	}
	j.until[id] = expiry
	return true
}
