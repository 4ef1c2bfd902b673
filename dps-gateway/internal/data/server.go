package data

import (
	"context"
	"errors"
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
	out, err := s.admit(w, r, access)
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

func (s *Server) admit(w http.ResponseWriter, r *http.Request, a *token.Access) (outcome, error) {
	t, ok := s.Tenants.Get(a.ParticipantContextID)
	if !ok {
		return outcome{}, errNotServed()
	}
	l, err := s.admission.enter(t)
	if err != nil {
		return outcome{}, err
	}
	defer l.release()
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	st := &stream{access: a, rc: http.NewResponseController(w), conn: connOf(ctx), cancel: cancel, seen: time.Now()}
	s.streams.add(st) // before the state is read: what changes after the read finds the stream
	defer s.streams.remove(st)
	s.Metrics.StreamOpened(a.ParticipantContextID)
	defer s.Metrics.StreamClosed(a.ParticipantContextID)
	live, err := s.live.read(ctx, refOf(a))
	if st.isCut() { // by what happened to the flow before the request came, and was heard of only now
		return outcome{}, errNotServed()
	}
	if err != nil {
		return outcome{}, err
	}
	if err := may(a, &live, live.Takes); err != nil {
		return outcome{}, err
	}
	return s.serve(ctx, w, r, st, l, t, &live)
}

func (s *Server) serve(ctx context.Context, w http.ResponseWriter, r *http.Request, st *stream, l *lane, t *tenant.Tenant, live *flowstore.Served) (outcome, error) {
	a := st.access
	path, query, err := asked(r, a.DataFlowID)
	if err != nil {
		return outcome{}, err
	}
	q := question{
		pc: a.ParticipantContextID, flow: a.DataFlowID, dataset: a.DatasetID, revision: live.DatasetRevision, path: path, query: query,
	}
	ref, val, err := s.fanout.ask(ctx, q, &gatewayapi.DataRequest{
		ParticipantContextID: a.ParticipantContextID, DataFlowID: a.DataFlowID, AgreementID: a.AgreementID,
		CounterPartyID: a.CounterPartyID, Profile: live.Profile, Method: r.Method, Path: path, Query: query,
		Header: passed(r.Header),
	})
	switch {
	case st.isCut():
		if val != nil {
			val.close()
		}
		return outcome{}, errNotServed()
	case err != nil:
		return outcome{}, err
	case val != nil:
		return s.serveValue(ctx, w, r, st, l, val), nil
	}
	out, err := s.serveReference(ctx, w, r, st, l, t, ref)
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
