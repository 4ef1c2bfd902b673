package api

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/tidegate/tidegate/infra/sandbox/engine"
	"github.com/tidegate/tidegate/infra/sandbox/store"
)

// principal is who calls: sub is the participant context id, unless the token has admin scope.
type principal struct {
	sub    string
	scopes []string
	admin  bool
}

// refusal is an answer before any handler ran; text is a JSON object for what the token lacks and plain text for the rest.
type refusal struct {
	status int
	json   bool
	text   string
}

func (f *refusal) write(w http.ResponseWriter) {
	if f.json {
		b, _ := json.Marshal(map[string]string{"error": f.text})
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(f.status)
		_, _ = w.Write(b)
		return
	}
	w.Header().Set("Content-Type", "text/plain;charset=UTF-8")
	w.WriteHeader(f.status)
	_, _ = w.Write([]byte(f.text))
}

// authenticate checks header, signature, issuer, times, and that sub is a participant.
func (s *Server) authenticate(r *http.Request) (principal, *refusal) {
	h := r.Header.Get("Authorization")
	if h == "" {
		return principal{}, &refusal{http.StatusUnauthorized, true, "Missing Authorization header"}
	}
	token, ok := strings.CutPrefix(h, "Bearer ")
	if !ok {
		return principal{}, &refusal{http.StatusUnauthorized, true, "Invalid Authorization header"}
	}
	claims, err := s.IDP.Verify(token)
	if err != nil {
		return principal{}, &refusal{http.StatusUnauthorized, true, err.Error()}
	}
	p := principal{sub: claims.Subject, scopes: strings.Fields(claims.Scope())}
	p.admin = grants(p.scopes, "management-api:admin")
	if p.admin {
		return p, nil
	}
	known := false
	s.Engine.Store.View(func(tx *store.Tx) { known = s.Engine.Store.Participants.Get(tx, p.sub) != nil })
	if !known {
		sub := p.sub
		if sub == "" {
			sub = "null"
		}
		return principal{}, &refusal{http.StatusUnauthorized, false, "Not authorized: No participant for 'sub = " + sub + "' found"}
	}
	return p, nil
}

// allow checks the scope that an endpoint needs.
func (p principal) allow(required string) *refusal {
	if grants(p.scopes, required) {
		return nil
	}
	return &refusal{http.StatusForbidden, false, "Required scope '" + required + "' missing"}
}

func (p principal) forbidden() error {
	return &engine.FaultError{Status: http.StatusForbidden, Type: "NotAuthorized", Message: "User '" + p.sub + "' is not authorized to access this resource."}
}

// actions in ascending power: each includes those before it.
var actions = []string{"read", "write", "admin"}

type scope struct{ api, resource, action string }

// parseScope reads <api>:[resource:]action; a missing resource is every resource.
func parseScope(s string) (scope, bool) {
	parts := strings.Split(s, ":")
	switch len(parts) {
	case 2:
		parts = []string{parts[0], "*", parts[1]}
	case 3:
	default:
		return scope{}, false
	}
	return scope{parts[0], parts[1], parts[2]}, slices.Contains(actions, parts[2])
}

// grants reports whether one of the granted scopes includes the required one. Scopes that cannot be read are ignored.
func grants(granted []string, required string) bool {
	want, ok := parseScope(required)
	if !ok {
		return false
	}
	for _, g := range granted {
		have, ok := parseScope(g)
		if ok && have.api == want.api && (have.resource == "*" || have.resource == want.resource) &&
			slices.Index(actions, have.action) >= slices.Index(actions, want.action) {
			return true
		}
	}
	return false
}
