package internalapi

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/dps-gateway/internal/flowstore"
	"github.com/tidegate/tidegate/dps-gateway/internal/outbox"
	"github.com/tidegate/tidegate/dps-gateway/internal/parked"
	"github.com/tidegate/tidegate/dps-gateway/internal/records"
	"github.com/tidegate/tidegate/shared/auth"
	"github.com/tidegate/tidegate/shared/dps"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/tenant"
)

const (
	maxBody     = 64 << 10 // of a request that is neither a record nor an event
	maxEvent    = 2 << 20  // of a dead letter: an event and what a broker adds
	defaultPage = 100
)

// Appender puts an entry on the outbox; *outbox.Writer does.
type Appender interface {
	Append(ctx context.Context, e *outbox.Entry) error
}

// Tenants are the tenants in force.
type Tenants interface {
	Get(participantContextID string) (*tenant.Tenant, bool)
	All() []*tenant.Tenant
	Problems() []error
}

// Addresses gives the data addresses of flows, with a token that is good; *renewal.Renewer does.
type Addresses interface {
	Address(ctx context.Context, pc, id string) (*dps.DataAddress, error)
	Renew(ctx context.Context, pc, id, refused string) (*dps.DataAddress, error)
}

// Reports takes what functions say of the flows that they serve; *dataflow.Service does.
type Reports interface {
	ReportPrepared(ctx context.Context, pc, id string, a *gatewayapi.HookAnswer) error
	ReportStarted(ctx context.Context, pc, id string, a *gatewayapi.HookAnswer) error
	Failed(ctx context.Context, pc, id, reason string) (done bool, err error)
}

// Agreements finds the agreements of data flows; *agreement.Finder does.
type Agreements interface {
	Of(ctx context.Context, pc, id string) (*gatewayapi.Agreement, error)
}

// Registrations tells how the registration of a tenant's data plane stands.
type Registrations interface {
	Status(participantContextID string) (registered bool, problems []string)
	// Left are the tenants that are gone whose data plane could not be deregistered.
	Left() []gatewayapi.TenantStatus
}

// Deps is what the handler works with.
type Deps struct {
	Secret        *auth.SharedSecret
	Tenants       Tenants
	Flows         flowstore.Store
	Reports       Reports
	Records       *records.Store
	Addresses     Addresses
	Agreements    Agreements
	Parked        *parked.Store
	Outbox        Appender
	Registrations Registrations
	Log           zerolog.Logger
}

// errStranger is the one answer to all who are not of the deployment.
var errStranger = problem.New(problem.Unauthenticated, "the internal bearer secret is expected")

// pathDeadLetter is where the broker's dead letters go.
const pathDeadLetter = "/v1/parked"

// Route is one operation of the API, as openapi/internal.yaml has it.
type Route struct {
	Method, Path string
	serve        func(h *handler, w http.ResponseWriter, r *http.Request) error
}

// Routes are all operations.
func Routes() []Route {
	const pc = "/v1/participants/{pc}"
	routes := []Route{
		{http.MethodGet, "/v1/tenants", (*handler).tenants},
		{http.MethodPost, pathDeadLetter, (*handler).deadLetter},
		{http.MethodGet, pc + "/dataflows", (*handler).listFlows},
		{http.MethodGet, pc + "/dataflows/{id}", (*handler).getFlow},
		{http.MethodGet, pc + "/dataflows/{id}/agreement", (*handler).getAgreement},
		{http.MethodGet, pc + "/dataflows/{id}/address", (*handler).getAddress},
		{http.MethodPost, pc + "/dataflows/{id}/address/renew", (*handler).renewAddress},
		{http.MethodPost, pc + "/dataflows/{id}/prepared", (*handler).prepared},
		{http.MethodPost, pc + "/dataflows/{id}/started", (*handler).started},
		{http.MethodPost, pc + "/dataflows/{id}/completed", (*handler).completed},
		{http.MethodPost, pc + "/dataflows/{id}/errored", (*handler).errored},
		{http.MethodGet, pc + "/parked", (*handler).listParked},
		{http.MethodPost, pc + "/parked/{id}/redrive", (*handler).redrive},
		{http.MethodDelete, pc + "/parked/{id}", (*handler).deleteParked},
		{http.MethodPost, pc + "/decisions/{id}/verdict", (*handler).verdict},
	}
	for _, kind := range records.Kinds() {
		of := func(f func(h *handler, kind gatewayapi.Kind, w http.ResponseWriter, r *http.Request) error) func(*handler, http.ResponseWriter, *http.Request) error {
			return func(h *handler, w http.ResponseWriter, r *http.Request) error { return f(h, kind, w, r) }
		}
		base := pc + "/" + string(kind)
		routes = append(routes,
			Route{http.MethodGet, base, of((*handler).listRecords)},
			Route{http.MethodGet, base + "/{id}", of((*handler).getRecord)},
			Route{http.MethodPut, base + "/{id}", of((*handler).putRecord)},
			Route{http.MethodDelete, base + "/{id}", of((*handler).deleteRecord)},
		)
	}
	return routes
}

type handler struct{ Deps }

// New returns the handler of the internal listener.
func New(d Deps) http.Handler {
	h := &handler{Deps: d}
	mux := http.NewServeMux()
	for _, route := range Routes() {
		mux.HandleFunc(route.Method+" "+route.Path, func(w http.ResponseWriter, r *http.Request) {
			if err := h.tenantOf(route, r); err != nil {
				h.fail(w, r, problem.Status(err), err)
				return
			}
			if err := route.serve(h, w, r); err != nil {
				h.fail(w, r, h.status(route, err), err)
			}
		})
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		h.fail(w, r, http.StatusNotFound, problem.New(problem.NotFound, "there is no such operation"))
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t, bearer := auth.Bearer(r.Header)
		if !bearer && r.Method == http.MethodPost && r.URL.Path == pathDeadLetter {
			mux.ServeHTTP(w, r) // the event itself must be authentic: a Knative Broker passes no token on
			return
		}
		if !bearer || !d.Secret.Check(t) {
			h.fail(w, r, http.StatusUnauthorized, errStranger)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// tenantOf refuses a participant context that is not in force. The parked work of no tenant is an operator's, under "-".
func (h *handler) tenantOf(route Route, r *http.Request) error {
	if !strings.Contains(route.Path, "{pc}") {
		return nil
	}
	pc := r.PathValue("pc")
	if pc == "-" && strings.Contains(route.Path, "/parked") {
		return nil
	}
	if _, ok := h.Tenants.Get(pc); !ok {
		return problem.New(problem.NotFound, "there is no such participant context")
	}
	return nil
}

// status maps an error to an answer: to the broker, which delivers dead letters, by the broker's rules.
func (h *handler) status(route Route, err error) int {
	if route.Path == pathDeadLetter && !problem.Is(err, problem.Unauthenticated) {
		return problem.EventStatus(err)
	}
	return problem.Status(err)
}

func (h *handler) fail(w http.ResponseWriter, r *http.Request, code int, err error) {
	if code == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="tidegate"`)
	}
	log := h.Log.With().Str("listener", "internal").Str("method", r.Method).Str("participant_context", r.PathValue("pc")).Logger()
	problem.Write(w, &log, code, err)
}

func answer(w http.ResponseWriter, code int, body any) error {
	b, err := json.Marshal(body)
	if err != nil {
		return problem.Wrap(problem.Internal, err, "encoding the answer")
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(b)))
	w.WriteHeader(code)
	_, _ = w.Write(b) // the caller is gone: nobody is left to tell
	return nil
}

// read reads a body of at most limit bytes.
func read(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, problem.New(problem.TooLarge, "the body has more than %d bytes", tooLarge.Limit)
	}
	if err != nil {
		return nil, problem.Wrap(problem.Invalid, err, "the body can't be read")
	}
	return b, nil
}

// decode reads a JSON body strictly. An empty body is the zero value.
func decode(w http.ResponseWriter, r *http.Request, out any) error {
	b, err := read(w, r, maxBody)
	if err != nil || len(b) == 0 {
		return err
	}
	return records.DecodeStrict(b, out)
}

// page reads the query parameters of a listing.
func page(r *http.Request) (after string, limit int, err error) {
	q := r.URL.Query()
	limit = defaultPage
	if s := q.Get("limit"); s != "" {
		limit, err = strconv.Atoi(s)
		if err != nil || limit < 1 || limit > records.MaxPage {
			return "", 0, problem.Field("limit", "is %q; a number from 1 to %d is expected", s, records.MaxPage)
		}
	}
	return q.Get("after"), limit, nil
}
