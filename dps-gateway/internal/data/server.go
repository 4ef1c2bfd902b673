package data

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/dps-gateway/internal/flowstore"
	"github.com/tidegate/tidegate/dps-gateway/internal/ingest"
	"github.com/tidegate/tidegate/dps-gateway/internal/token"
	"github.com/tidegate/tidegate/shared/auth"
	"github.com/tidegate/tidegate/shared/dps"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/objectstore"
	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/tenant"
)

// Config is the settings of the public listener.
type Config struct {
	DataServerURL func(participantContextID string) string
	Limits        tenant.Limits // of tenants that set none; 0 = no limit
	Wait          time.Duration // for a data server's answer to begin, a cold start included, and for an object store's
	Waiting       int           // requests of a tenant that wait for a cold start at once
	Pause         time.Duration // in which a data server or an object store that has failed again and again is not asked
	Blind         time.Duration // how long an open stream goes on while it can't be found out whether it may
	Stall         time.Duration // a client must take a chunk of an answer within, a data server give something
}

// Tokens verifies access tokens; *token.Issuer does.
type Tokens interface {
	Verify(token string) (*token.Access, error)
	JWKS() []byte
}

// Tenants are the tenants in force.
type Tenants interface {
	Get(participantContextID string) (*tenant.Tenant, bool)
}

// Metrics counts; every method names the participant context.
type Metrics interface {
	DataRequest(pc string, code int, d time.Duration)
	Bytes(pc string, n int64)
	Received(pc string, n int64)
	StreamOpened(pc string)
	StreamClosed(pc string)
	StreamCut(pc string)
	Broken(pc, part string) // a part of the provider's has failed so often that it is spared
}

// Deps is what the server works with.
type Deps struct {
	Tokens     Tokens
	Flows      Served
	Datasets   Datasets
	Tenants    Tenants
	DataServer *http.Client // authenticates the calls
	Records    ingest.Records
	Outbox     ingest.Appender
	OpenBucket func(ctx context.Context, b tenant.Bucket) (objectstore.Store, error)
	Renew      http.Handler // the refresh endpoint of our data addresses
	Metrics    Metrics
	Log        zerolog.Logger
}

// Server serves the public listener.
type Server struct {
	Deps
	cfg       Config
	log       zerolog.Logger
	live      *liveReader
	streams   *streams
	admission *admission // of pulls
	pushes    *admission
	receiver  *ingest.Receiver
	fanout    *fanout
	breakers  *breakers
	stores    *stores
}

// New returns a server. Run must run beside it.
func New(cfg Config, d Deps) *Server {
	s := &Server{
		Deps: d, cfg: cfg, log: d.Log.With().Str("listener", "public").Logger(),
		live: &liveReader{source: d.Flows}, streams: &streams{}, admission: newAdmission(cfg.Limits), pushes: newAdmission(cfg.Limits),
		stores: &stores{open: d.OpenBucket},
	}
	s.breakers = &breakers{pause: cfg.Pause, metrics: d.Metrics, log: s.log}
	s.fanout = newFanout(cfg.DataServerURL, d.DataServer, cfg.Wait, cfg.Waiting, d.Datasets, s.breakers)
	s.receiver = &ingest.Receiver{Records: d.Records, Outbox: d.Outbox, Open: s.openSink, Log: s.log}
	return s
}

// Close lets go of the buckets. No request may be under way.
func (s *Server) Close() { s.stores.close() }

// Route is one operation, as openapi/public.yaml has it.
type Route struct{ Method, Path string }

// Routes are all operations.
func Routes() []Route {
	return []Route{
		{http.MethodGet, "/data/{dataFlowId}"},
		{http.MethodHead, "/data/{dataFlowId}"},
		{http.MethodGet, "/data/{dataFlowId}/{path}"},
		{http.MethodHead, "/data/{dataFlowId}/{path}"},
		{http.MethodPut, "/ingest/{dataFlowId}"},
		{http.MethodPost, "/ingest/{dataFlowId}"},
		{http.MethodHead, "/ingest/{dataFlowId}"},
		{http.MethodPost, "/token"},
		{http.MethodGet, "/.well-known/jwks.json"},
	}
}

// Handler returns the handler of the public listener.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /data/{dataFlowId}", s.data) // GET patterns take HEAD too
	mux.HandleFunc("GET /data/{dataFlowId}/{path...}", s.data)
	mux.HandleFunc("PUT /ingest/{dataFlowId}", s.ingest)
	mux.HandleFunc("POST /ingest/{dataFlowId}", s.ingest)
	mux.HandleFunc("HEAD /ingest/{dataFlowId}", s.ingest)
	mux.Handle("POST /token", s.Renew)
	mux.HandleFunc("GET /.well-known/jwks.json", s.jwks)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { s.refuse(w, errNotServed()) })
	return mux
}

// jwks serves the public keys. A verifier may keep them for a while: a new key stands here before it signs.
func (s *Server) jwks(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/jwk-set+json")
	w.Header().Set("Cache-Control", "public, max-age=300")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(s.Tokens.JWKS()) // the caller is gone: nobody is left to tell
}

// outcome is how an answer went. broken: it is incomplete, and the client must see that.
type outcome struct {
	code   int
	bytes  int64
	broken error
}

// data answers for a flow's data. It changes nothing, so it may be repeated at will.
func (s *Server) data(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	access, err := s.authenticate(r, dps.Pull)
	if err != nil {
		s.refuse(w, err)
		return
	}
	pc := access.ParticipantContextID
	a, out, err := s.answer(w, r, access)
	if a != nil {
		defer a.end() // if a panic comes before the one below
		if err == nil && a.body != nil {
			out.bytes, out.broken = s.send(w, a)
		}
		a.end()
	}
	switch {
	case err != nil && r.Context().Err() != nil: // the client has gone, so that is why, and nobody is left to tell
		out.code = statusClientGone
	case err != nil:
		out.code = s.refuse(w, err)
	}
	s.Metrics.DataRequest(pc, out.code, time.Since(began))
	if out.broken == nil {
		return
	}
	s.log.Info().Str("participant_context", pc).Str("process_id", access.DataFlowID).Int64("bytes", out.bytes).
		Dur("duration", time.Since(began)).Err(out.broken).Msg("stream broken off")
	panic(http.ErrAbortHandler) // the only way to end an answer so that the client sees that it is not whole
}

// statusClientGone is counted for requests whose client did not wait for the answer.
const statusClientGone = 499

// authenticate verifies the token, and that it is for this flow and this use.
func (s *Server) authenticate(r *http.Request, dir dps.Direction) (*token.Access, error) {
	t, ok := auth.Bearer(r.Header)
	if !ok {
		return nil, errToken()
	}
	a, err := s.Tokens.Verify(t)
	if err != nil || a.DataFlowID != r.PathValue("dataFlowId") || a.Direction != dir {
		return nil, errToken()
	}
	return a, nil
}

// answering is a request that was admitted. It keeps what is needed to send a long body, so that what has decided about the request can
// have returned: a stream may take hours, and a goroutine needs a small stack only if little stands on it.
type answering struct {
	streams *streams
	metrics Metrics
	ctx     context.Context //nolint:containedctx // the request's, cancelled when the stream is cut
	cancel  context.CancelFunc
	st      *stream
	lane    *lane
	body    io.ReadCloser // that is left to be sent; nil if nothing is
	length  int64         // of it
	code    int           // to send before it
	ended   bool
}

// end lets go of everything. It may be called again.
func (a *answering) end() {
	if a.ended {
		return
	}
	a.ended = true
	if a.body != nil {
		_ = a.body.Close() // read only
	}
	a.metrics.StreamClosed(a.st.access.ParticipantContextID)
	a.streams.remove(a.st)
	a.cancel()
	a.lane.release()
}

// answer admits a request and answers it, but for a body that the result holds. The result, if there is one, must be ended.
func (s *Server) answer(w http.ResponseWriter, r *http.Request, access *token.Access) (*answering, outcome, error) {
	t, ok := s.Tenants.Get(access.ParticipantContextID)
	if !ok {
		return nil, outcome{}, errNotServed()
	}
	l, err := s.admission.enter(t)
	if err != nil {
		return nil, outcome{}, err
	}
	a := &answering{streams: s.streams, metrics: s.Metrics, lane: l}
	a.ctx, a.cancel = context.WithCancel(r.Context())
	a.st = &stream{access: access, rc: http.NewResponseController(w), conn: connOf(r.Context()), cancel: a.cancel, seen: time.Now()}
	s.streams.add(a.st) // before the state is read: what changes after the read finds the stream
	s.Metrics.StreamOpened(access.ParticipantContextID)
	returned := false
	defer func() {
		if !returned { // it panics
			a.end()
		}
	}()
	out, err := s.admitted(w, r, a, t)
	returned = true
	return a, out, err
}

func (s *Server) admitted(w http.ResponseWriter, r *http.Request, a *answering, t *tenant.Tenant) (outcome, error) {
	live, err := s.live.read(a.ctx, refOf(a.st.access))
	if a.st.isCut() { // by what happened to the flow before the request came, and was heard of only now
		return outcome{}, errNotServed()
	}
	if err != nil {
		return outcome{}, err
	}
	if err := may(a.st.access, &live, live.Takes); err != nil {
		return outcome{}, err
	}
	return s.serve(w, r, a, t, &live)
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request, a *answering, t *tenant.Tenant, live *flowstore.Served) (outcome, error) {
	access := a.st.access
	path, query, err := asked(r, access.DataFlowID)
	if err != nil {
		return outcome{}, err
	}
	q := question{
		pc: access.ParticipantContextID, flow: access.DataFlowID, dataset: access.DatasetID, revision: live.DatasetRevision, path: path, query: query,
	}
	ref, val, err := s.fanout.ask(a.ctx, q, &gatewayapi.DataRequest{
		ParticipantContextID: access.ParticipantContextID, DataFlowID: access.DataFlowID, AgreementID: access.AgreementID,
		CounterPartyID: access.CounterPartyID, Profile: live.Profile, Method: r.Method, Path: path, Query: query,
		Header: passed(r.Header),
	})
	switch {
	case a.st.isCut():
		if val != nil {
			val.close()
		}
		return outcome{}, errNotServed()
	case err != nil:
		return outcome{}, err
	case val != nil:
		return s.serveValue(a.ctx, w, r, a.st, a.lane, val), nil
	}
	out, err := s.serveReference(w, r, a, t, ref)
	if problem.Is(err, problem.Unavailable) {
		s.fanout.forget(q) // the object may have changed: ask anew
	}
	return out, err
}

// may tells whether the flow may be served to the token's holder, or take what it pushes, now. good judges the token's id: a request
// needs one that is in force, an answer under way one that was renewed since, at most.
func may(a *token.Access, live *flowstore.Served, good func(tokenID string) bool) error {
	open := live.State == dps.Started && live.Role == dps.Provider && live.Direction == dps.Pull
	if a.Direction == dps.Push { // as soon as prepare was answered (DPS 1.0, push)
		open = (live.State == dps.Started || live.State == dps.Prepared) && live.Role == dps.Consumer && live.Direction == dps.Push
	}
	switch {
	case !open:
		return errNotServed()
	case !good(a.TokenID) || live.DatasetID != a.DatasetID || live.AgreementID != a.AgreementID || live.CounterPartyID != a.CounterPartyID:
		return errToken()
	case a.Direction == dps.Pull && (live.DatasetRevision == "" || live.Withdrawn):
		return errNotServed()
	}
	return nil
}

// refuse writes an error that came before any byte of data, and returns its status.
func (s *Server) refuse(w http.ResponseWriter, err error) int {
	code := problem.Status(err)
	if code == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="data"`)
	}
	if errors.Is(err, errRange) {
		code, err = http.StatusRequestedRangeNotSatisfiable, problem.Field("Range", "is outside of the data")
	}
	problem.Write(w, &s.log, code, err)
	return code
}

const textNotServed = "there is no such data"

// errToken answers every defect of a token, the same way.
func errToken() error {
	return problem.New(problem.Unauthenticated, "a valid access token for this data is expected")
}

// errNotServed answers every reason why a flow's data is not served, the same way.
func errNotServed() error { return problem.New(problem.NotFound, textNotServed) }
