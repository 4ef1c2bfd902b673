// Package api is the HTTP surface of the sandbox: EDC's Management API v5beta under /management, the callbacks of data planes
// under /signaling, the sandbox's own controls under /sandbox, and a first page that says what this is. Paths, status codes and
// bodies are those observed of EDC-V.
package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/infra/sandbox/engine"
	"github.com/tidegate/tidegate/infra/sandbox/idp"
	"github.com/tidegate/tidegate/infra/sandbox/store"
)

// Server answers.
type Server struct {
	Engine *engine.Engine
	IDP    *idp.Provider
	HC     *http.Client // fetches the keys of data planes
	Log    zerolog.Logger

	seen jtis
}

// route is one method of one path of the Management API, below /management/v5beta.
type route struct {
	method, path string
	scope        string // what the token must grant
	handle       handler
}

// handler answers with a status and a body (nil: none), or an error: *engine.FaultError, validation, forbidden.
type handler func(c *call) (int, any, error)

// call is one authenticated request.
type call struct {
	*Server

	ctx context.Context //nolint:containedctx // lives as long as the request that it came with
	r   *http.Request
	w   http.ResponseWriter
	who principal
	pc  string // participant context of the path, "" if there is none
}

const tenant = "/participants/{pc}"

func (s *Server) routes() []route {
	const (
		admin  = "management-api:admin"
		assets = "management-api:assets:"
		pols   = "management-api:policies:"
		defs   = "management-api:contractdefinitions:"
		negs   = "management-api:negotiations:"
		agrs   = "management-api:agreements:"
		trfs   = "management-api:transfers:"
	)
	return []route{
		{http.MethodPost, tenant + "/assets", assets + "write", createAsset},
		{http.MethodPut, tenant + "/assets", assets + "write", updateAsset},
		{http.MethodPost, tenant + "/assets/request", assets + "read", queryAssets},
		{http.MethodGet, tenant + "/assets/{id}", assets + "read", getAsset},
		{http.MethodDelete, tenant + "/assets/{id}", assets + "read", deleteAsset}, // read is enough at HEAD

		{http.MethodPost, tenant + "/policydefinitions", pols + "write", createPolicy},
		{http.MethodPost, tenant + "/policydefinitions/request", pols + "read", queryPolicies},
		{http.MethodGet, tenant + "/policydefinitions/{id}", pols + "read", getPolicy},
		{http.MethodPut, tenant + "/policydefinitions/{id}", pols + "write", updatePolicy},
		{http.MethodDelete, tenant + "/policydefinitions/{id}", pols + "write", deletePolicy},

		{http.MethodPost, tenant + "/contractdefinitions", defs + "write", createDefinition},
		{http.MethodPut, tenant + "/contractdefinitions", defs + "write", updateDefinition},
		{http.MethodPost, tenant + "/contractdefinitions/request", defs + "read", queryDefinitions},
		{http.MethodGet, tenant + "/contractdefinitions/{id}", defs + "read", getDefinition},
		{http.MethodDelete, tenant + "/contractdefinitions/{id}", defs + "write", deleteDefinition},

		{http.MethodPost, tenant + "/catalog/request", "management-api:catalog:read", requestCatalog},
		{http.MethodPost, tenant + "/catalog/dataset/request", "management-api:catalog:read", requestDataset},

		{http.MethodPost, tenant + "/contractnegotiations", negs + "write", startNegotiation},
		{http.MethodPost, tenant + "/contractnegotiations/request", negs + "read", queryNegotiations},
		{http.MethodGet, tenant + "/contractnegotiations/{id}", negs + "read", getNegotiation},
		{http.MethodGet, tenant + "/contractnegotiations/{id}/state", negs + "read", getNegotiationState},
		{http.MethodGet, tenant + "/contractnegotiations/{id}/agreement", negs + "read", getNegotiationAgreement},
		{http.MethodPost, tenant + "/contractnegotiations/{id}/terminate", negs + "write", terminateNegotiation},
		{http.MethodDelete, tenant + "/contractnegotiations/{id}", negs + "write", deleteNegotiation},

		{http.MethodPost, tenant + "/contractagreements/request", agrs + "read", queryAgreements},
		{http.MethodGet, tenant + "/contractagreements/{id}", agrs + "read", getAgreement},
		{http.MethodGet, tenant + "/contractagreements/{id}/negotiation", agrs + "read", getAgreementNegotiation},

		{http.MethodPost, tenant + "/transferprocesses", trfs + "write", startTransfer},
		{http.MethodPost, tenant + "/transferprocesses/request", trfs + "read", queryTransfers},
		{http.MethodGet, tenant + "/transferprocesses/{id}", trfs + "read", getTransfer},
		{http.MethodGet, tenant + "/transferprocesses/{id}/state", trfs + "read", getTransferState},
		{http.MethodPost, tenant + "/transferprocesses/{id}/terminate", trfs + "write", commandTransfer("TerminateTransfer", engine.Terminate)},
		{http.MethodPost, tenant + "/transferprocesses/{id}/suspend", trfs + "write", commandTransfer("SuspendTransfer", engine.Suspend)},
		{http.MethodPost, tenant + "/transferprocesses/{id}/resume", trfs + "write", commandTransfer("", engine.Resume)},

		{http.MethodPut, tenant + "/dataplanes", "management-api:dataplanes:write", putDataPlane},
		{http.MethodDelete, tenant + "/dataplanes/{id}", "management-api:dataplanes:write", deleteDataPlane},

		{http.MethodGet, tenant + "/profiles", "management-api:profiles:read", getProfiles},
		{http.MethodPut, tenant + "/profiles", admin, putProfiles},
		{http.MethodPost, tenant + "/discover/request", "management-api:discovery:read", discover},

		{http.MethodPost, "/participants", admin, createParticipant},
		{http.MethodGet, "/participants", admin, listParticipants},
		{http.MethodGet, tenant, admin, getParticipant},
		{http.MethodPut, tenant, admin, updateParticipant},
		{http.MethodDelete, tenant, admin, deleteParticipant},
		{http.MethodGet, tenant + "/config", admin, getConfig},
		{http.MethodPut, tenant + "/config", admin, putConfig},
		{http.MethodPatch, tenant + "/config", admin, patchConfig},

		{http.MethodPost, "/celexpressions", admin, createCEL},
		{http.MethodPost, "/celexpressions/request", admin, queryCEL},
		{http.MethodGet, "/celexpressions/{id}", admin, getCEL},
		{http.MethodPut, "/celexpressions/{id}", admin, updateCEL},
		{http.MethodDelete, "/celexpressions/{id}", admin, deleteCEL},
	}
}

// Handler serves everything.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	byPath := map[string]map[string]route{}
	for _, r := range s.routes() {
		if byPath[r.path] == nil {
			byPath[r.path] = map[string]route{}
		}
		byPath[r.path][r.method] = r
	}
	for path, methods := range byPath {
		mux.HandleFunc("/management/v5beta"+path, func(w http.ResponseWriter, r *http.Request) { s.management(w, r, methods) })
	}
	mux.HandleFunc("POST /signaling/transfers/{id}/dataflow/{what}", s.callback)
	if s.Engine.Config.Agreements {
		mux.HandleFunc("GET /signaling/transfers/{id}/agreement", s.transferAgreement)
	}
	mux.Handle("/idp/", http.StripPrefix("/idp", s.IDP.Handler()))
	mux.HandleFunc("/protocol/", noConnector)
	mux.HandleFunc("GET /sandbox/misbehaviour/{pc}", s.sandboxAdmin(s.getMisbehaviour))
	mux.HandleFunc("PUT /sandbox/misbehaviour/{pc}", s.sandboxAdmin(s.putMisbehaviour))
	mux.HandleFunc("GET /sandbox/status", s.sandboxAdmin(s.status))
	mux.HandleFunc("GET /did/{pc}/did.json", s.didDocument)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	mux.HandleFunc("GET /{$}", home)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { htmlError(w, r, http.StatusNotFound) })
	return mux
}

// management runs one call: misbehaviour, method, token, scope, handler, in this order.
func (s *Server) management(w http.ResponseWriter, r *http.Request, methods map[string]route) {
	pc := r.PathValue("pc")
	fate := s.Engine.Injector.Call(pc)
	if fate.Delay > 0 {
		select {
		case <-time.After(fate.Delay):
		case <-r.Context().Done():
			return
		}
	}
	if fate.Before {
		s.Log.Info().Str("participant", pc).Str("path", r.URL.Path).Msg("call failed on purpose, without effect")
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	rt, ok := methods[r.Method]
	if !ok {
		htmlError(w, r, http.StatusMethodNotAllowed)
		return
	}
	who, refusal := s.authenticate(r)
	if refusal == nil {
		refusal = who.allow(rt.scope)
	}
	if refusal != nil {
		refusal.write(w)
		return
	}
	c := &call{Server: s, ctx: r.Context(), r: r, w: w, who: who, pc: pc}
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	status, body, err := rt.handle(c)
	if fate.After {
		s.Log.Info().Str("participant", pc).Str("path", r.URL.Path).Msg("call failed on purpose, after it had its effect")
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	s.answer(w, status, body, err)
}

func (s *Server) answer(w http.ResponseWriter, status int, body any, err error) {
	var fault *engine.FaultError
	var invalid validation
	switch {
	case err == nil && body == nil:
		w.WriteHeader(status)
	case err == nil:
		writeJSON(w, status, body)
	case errors.As(err, &invalid):
		writeJSON(w, http.StatusBadRequest, invalid.errors())
	case errors.As(err, &fault) && fault.Type != "":
		writeJSON(w, fault.Status, []apiError{{Message: fault.Message, Type: fault.Type}})
	default:
		s.Log.Warn().Err(err).Msg("call answered 500")
		w.WriteHeader(http.StatusInternalServerError)
	}
}

// apiError is one entry of EDC's error array.
type apiError struct {
	Message      string  `json:"message"`
	Type         string  `json:"type"`
	Path         *string `json:"path"`
	InvalidValue any     `json:"invalidValue"`
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(b)
}

// own checks that the caller may act for the participant of the path, and that there is one.
func (c *call) own() error {
	if !c.who.admin && c.who.sub != c.pc {
		return c.who.forbidden()
	}
	exists := false
	c.Engine.Store.View(func(tx *store.Tx) { exists = c.Engine.Store.Participants.Get(tx, c.pc) != nil })
	if !exists {
		return engine.NotFound("ParticipantContext", c.pc)
	}
	return nil
}
