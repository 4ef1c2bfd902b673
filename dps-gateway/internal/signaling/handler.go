// Package signaling is the signaling listener, the one that control planes call: Data Plane Signaling per participant context
// (DPS 1.0, data plane endpoints), and the control plane's own events and its blocking callback.
//
// A signal is authenticated by a signed token of the tenant's control plane, which is good for one request. Everything that
// must not be told from the other is answered the same: an unknown, a suspended, a foreign tenant and a bad token are one 401.
// The handler holds no state of a flow; see dataflow and flowstore for what a repeated signal does.
package signaling

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"

	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/dps-gateway/internal/controlplane"
	"github.com/tidegate/tidegate/dps-gateway/internal/dataflow"
	"github.com/tidegate/tidegate/dps-gateway/internal/outbox"
	"github.com/tidegate/tidegate/dps-gateway/internal/records"
	"github.com/tidegate/tidegate/shared/auth"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/tenant"
)

// Limits of request bodies, in bytes.
const (
	maxSignal = 256 << 10
	maxEvent  = 1 << 20 // an event of EDC holds whole policies
)

// Tenants are the tenants in force.
type Tenants interface {
	Get(participantContextID string) (*tenant.Tenant, bool)
	// Known tells whether there is a tenant, in force or not: suspended, or with a document that can't be read.
	Known(participantContextID string) bool
}

// Appender puts an entry on the outbox.
type Appender interface {
	Append(ctx context.Context, e *outbox.Entry) error
}

// Datasets finds the registrations of datasets.
type Datasets interface {
	Get(ctx context.Context, pc string, kind gatewayapi.Kind, id string) (*records.Record, error)
}

// Vetoer asks whether a negotiation may be answered: nil, or an error of kind Forbidden with the reason.
type Vetoer interface {
	Veto(ctx context.Context, req gatewayapi.VetoRequest) error
}

// Deps is what the handler works with.
type Deps struct {
	URL      string // of this listener, as control planes reach it
	Tenants  Tenants
	Flows    *dataflow.Service
	Outbox   Appender
	Datasets Datasets
	Vetoer   Vetoer
	Keys     *auth.SharedSecret // keys of the control planes' URLs (CONTROLPLANE_KEY_FILE)
	HTTP     *http.Client       // reads the key sets of control planes
	Log      zerolog.Logger
	Patience *Patience // while Redis is away; nil = none

	Registrations  *controlplane.Registrations
	Peers          *http.Client // reads the key sets of control planes that have registered themselves
	AllowPlainHTTP bool         // take URLs of such a control plane that are not https: for development
	AllowPrivate   bool         // take addresses inside our own network from it
}

// Route is one operation of the listener, as openapi/signaling.yaml has it.
type Route struct {
	Method, Path string
	serve        func(h *handler, w http.ResponseWriter, r *http.Request) error
}

// Routes are all operations.
func Routes() []Route {
	const flows = "/participants/{participantContextId}/dataflows"
	return []Route{
		{http.MethodPost, flows + "/prepare", signal((*handler).prepare)},
		{http.MethodPost, flows + "/start", signal((*handler).start)},
		{http.MethodPost, flows + "/{id}/started", signal((*handler).started)},
		{http.MethodPost, flows + "/{id}/suspend", signal((*handler).suspend)},
		{http.MethodPost, flows + "/{id}/resume", signal((*handler).resume)},
		{http.MethodPost, flows + "/{id}/terminate", signal((*handler).terminate)},
		{http.MethodPost, flows + "/{id}/completed", signal((*handler).completed)},
		{http.MethodGet, flows + "/{id}/status", signal((*handler).status)},
		{http.MethodPut, "/participants/{participantContextId}/controlplanes", (*handler).register},
		{http.MethodDelete, "/participants/{participantContextId}/controlplanes/{controlplaneId}", (*handler).deregister},
		{http.MethodPost, "/controlplane/{key}/events", (*handler).events},
		{http.MethodPost, "/controlplane/{key}/veto", (*handler).veto},
	}
}

type handler struct {
	Deps
	verifiers *verifiers
	secrets   secrets
}

// New returns the handler of the signaling listener.
func New(d Deps) http.Handler {
	h := &handler{Deps: d, verifiers: newVerifiers(d.HTTP, d.Peers), secrets: secrets{byFile: map[string]*auth.SharedSecret{}}}
	mux := http.NewServeMux()
	for _, route := range Routes() {
		mux.HandleFunc(route.Method+" "+route.Path, func(w http.ResponseWriter, r *http.Request) {
			if err := route.serve(h, w, r); err != nil {
				h.fail(w, r, err)
			}
		})
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { h.fail(w, r, errNoRoute) })
	return mux
}

var errNoRoute = problem.New(problem.NotFound, "there is no such operation")

func (h *handler) fail(w http.ResponseWriter, r *http.Request, err error) {
	if problem.Is(err, problem.Unauthenticated) {
		w.Header().Set("WWW-Authenticate", "Bearer")
		// The caller is told one thing, the log the cause.
		err = problem.Wrap(problem.Unauthenticated, err, "no valid token for this participant context")
	}
	log := h.Log.With().Str("listener", "signaling").Str("participant_context", r.PathValue("participantContextId")).
		Str("process_id", r.PathValue("id")).Logger()
	problem.Write(w, &log, problem.Status(err), err)
}

// read reads a body of at most limit bytes. Its content type is of no interest: control planes send JSON and nothing else.
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

// body is that of a request, which can be read once and is needed each time that the request is made again.
type body struct {
	w     http.ResponseWriter
	r     *http.Request
	limit int64
	bytes []byte
	whole bool
}

func (b *body) read() (_ []byte, err error) {
	if !b.whole {
		if b.bytes, err = read(b.w, b.r, b.limit); err != nil {
			return nil, err
		}
		b.whole = true
	}
	return b.bytes, nil
}

// requestDigest tells one request from another.
func requestDigest(r *http.Request, body []byte) string {
	h := sha256.New()
	_, _ = h.Write([]byte(r.Method + " " + r.URL.EscapedPath() + "\n")) // a hash never fails
	_, _ = h.Write(body)
	return hex.EncodeToString(h.Sum(nil))
}
