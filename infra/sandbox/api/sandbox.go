package api

import (
	"bytes"
	"crypto/subtle"
	"encoding/json"
	"io"
	"net/http"
	"strings"

	"github.com/tidegate/tidegate/infra/sandbox/config"
	"github.com/tidegate/tidegate/infra/sandbox/store"
)

func acceptsHTML(r *http.Request) bool {
	return strings.Contains(r.Header.Get("Accept"), "text/html")
}

// sandboxAdmin lets the admin key or a token with management-api:admin in.
func (s *Server) sandboxAdmin(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		key := s.Engine.Config.AdminKey
		if key == "" || subtle.ConstantTimeCompare([]byte(key), []byte(token)) != 1 {
			who, refused := s.authenticate(r)
			if refused == nil {
				refused = who.allow("management-api:admin")
			}
			if refused != nil {
				refused.write(w)
				return
			}
		}
		next(w, r)
	}
}

func (s *Server) getMisbehaviour(w http.ResponseWriter, r *http.Request) {
	writeJSON(w, http.StatusOK, s.Engine.Injector.Get(r.PathValue("pc")))
}

// putMisbehaviour replaces the misbehaviour of a participant and starts its counters anew. It is stored.
func (s *Server) putMisbehaviour(w http.ResponseWriter, r *http.Request) {
	pc := r.PathValue("pc")
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 64<<10))
	if err != nil {
		http.Error(w, "the body cannot be read", http.StatusBadRequest)
		return
	}
	m, err := decodeMisbehaviour(b)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	known := false
	err = s.Engine.Store.Update(func(tx *store.Tx) error {
		if known = s.Engine.Store.Participants.Get(tx, pc) != nil; !known {
			return nil
		}
		return s.Engine.Store.Misbehaviours.Put(tx, pc, m)
	})
	switch {
	case err != nil:
		s.Log.Error().Err(err).Msg("misbehaviour not stored")
		w.WriteHeader(http.StatusInternalServerError)
	case !known:
		http.Error(w, "no participant "+pc, http.StatusNotFound)
	default:
		s.Engine.Injector.Set(pc, *m)
		w.WriteHeader(http.StatusNoContent)
	}
}

// decodeMisbehaviour reads strictly: an unknown member is an error.
func decodeMisbehaviour(b []byte) (*config.Misbehaviour, error) {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	var m config.Misbehaviour
	if err := dec.Decode(&m); err != nil {
		return nil, err
	}
	return &m, m.Check()
}

// status counts what is stored, for people and tests.
func (s *Server) status(w http.ResponseWriter, _ *http.Request) {
	st := s.Engine.Store
	out := map[string]int{}
	states := map[string]map[string]int{"negotiations": {}, "transfers": {}}
	st.View(func(tx *store.Tx) {
		out["participants"], out["assets"], out["policies"] = count(tx, st.Participants), count(tx, st.Assets), count(tx, st.Policies)
		out["contractDefinitions"], out["dataPlanes"] = count(tx, st.ContractDefinitions), count(tx, st.DataPlanes)
		out["agreements"], out["tasks"] = count(tx, st.Agreements), count(tx, st.Tasks)
		for _, n := range st.Negotiations.All(tx) {
			states["negotiations"][n.Type+" "+n.State]++
		}
		for _, t := range st.Transfers.All(tx) {
			states["transfers"][t.Type+" "+t.State]++
		}
	})
	writeJSON(w, http.StatusOK, map[string]any{"rows": out, "states": states, "registrations": s.Engine.Planes.Registrations()})
}

func count[T any](tx *store.Tx, t *store.Table[T]) int {
	n := 0
	for range t.All(tx) {
		n++
	}
	return n
}
