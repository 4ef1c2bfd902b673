package data

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/tidegate/tidegate/dps-gateway/internal/ingest"
	"github.com/tidegate/tidegate/dps-gateway/internal/token"
	"github.com/tidegate/tidegate/shared/dps"
	"github.com/tidegate/tidegate/shared/objectstore"
	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/tenant"
)

// The fields that tell a pusher how far the data is; named as in the resumable uploads of the HTTP working group.
const (
	headerOffset   = "Upload-Offset"   // bytes that are safe
	headerComplete = "Upload-Complete" // ?1 = delivered
)

// ingest takes what is pushed into a consumer's flow: PUT and POST bring bytes, HEAD asks how far they are. What has come once
// may come again; see package ingest.
func (s *Server) ingest(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	access, err := s.authenticate(r, dps.Push)
	if err != nil {
		s.refuse(w, err)
		return
	}
	pc := access.ParticipantContextID
	code, err := s.take(w, r, access)
	switch {
	case errors.Is(err, ingest.ErrBody): // nobody is left to answer to
		code = statusClientGone
	case err != nil:
		code = s.refuse(w, err)
	}
	s.Metrics.DataRequest(pc, code, time.Since(began))
	if code != statusClientGone {
		return
	}
	s.log.Info().Str("participant_context", pc).Str("process_id", access.DataFlowID).Dur("duration", time.Since(began)).Err(err).Msg("push broken off")
	panic(http.ErrAbortHandler) // nothing of use can be on this connection any more
}

func (s *Server) take(w http.ResponseWriter, r *http.Request, a *token.Access) (code int, err error) {
	t, ok := s.Tenants.Get(a.ParticipantContextID)
	if !ok {
		return 0, errNotServed()
	}
	l, err := s.pushes.enter(t)
	if err != nil {
		return 0, err
	}
	defer l.release()
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	st := &stream{access: a, pushed: true, rc: http.NewResponseController(w), conn: connOf(ctx), cancel: cancel, seen: time.Now()}
	s.streams.add(st) // before the state is read: what changes after the read finds the stream
	defer s.streams.remove(st)
	defer func() {
		switch {
		case err == nil:
		case st.isBroken():
			err = errors.Join(ingest.ErrBody, errCut, err)
		case st.isCut():
			err = errNotServed()
		}
	}()
	s.Metrics.StreamOpened(a.ParticipantContextID)
	defer s.Metrics.StreamClosed(a.ParticipantContextID)
	live, err := s.live.read(ctx, refOf(a))
	if err != nil {
		return 0, err
	}
	if err := may(a, &live, live.Takes); err != nil {
		return 0, err
	}
	f := ingest.Flow{Tenant: t, ID: a.DataFlowID, AgreementID: a.AgreementID, DatasetID: a.DatasetID, Provider: a.CounterPartyID}
	if r.Method == http.MethodHead {
		p, err := s.receiver.Look(ctx, f)
		if err != nil {
			return 0, err
		}
		return told(w, p, http.StatusOK), nil
	}
	q, err := ingest.ParseRequest(r.Header, r.ContentLength)
	if err != nil {
		return 0, err
	}
	p, err := s.receiver.Receive(ctx, f, q, &pushed{s: s, ctx: ctx, st: st, lane: l, r: r.Body}, func() error {
		if st.isCut() {
			return errNotServed()
		}
		return nil
	})
	if !st.extend(s.cfg.Stall) && err == nil { // for the answer; delivered before the cut
		err = errNotServed()
	}
	switch {
	case problem.Is(err, problem.Conflict) && p.Offset >= 0:
		progress(w.Header(), p)
		return 0, err
	case err != nil:
		return 0, err
	case p.Created:
		return told(w, p, http.StatusCreated), nil
	case p.Complete:
		return told(w, p, http.StatusOK), nil
	}
	return told(w, p, http.StatusAccepted), nil
}

// told answers with how far the data is.
func told(w http.ResponseWriter, p ingest.Progress, code int) int {
	progress(w.Header(), p)
	if code != http.StatusOK {
		w.Header().Set("Content-Length", "0")
	}
	w.WriteHeader(code)
	return code
}

func progress(h http.Header, p ingest.Progress) {
	h.Set("Cache-Control", "no-store")
	h.Set(headerOffset, strconv.FormatInt(p.Offset, 10))
	h.Set(headerComplete, "?0")
	if p.Complete {
		h.Set(headerComplete, "?1")
	}
	if d := ingest.ReprDigest(p.SHA256); d != "" {
		h.Set("Repr-Digest", d)
	}
}

// openSink opens a bucket to write into; it is shared with the requests that read from it.
func (s *Server) openSink(ctx context.Context, b tenant.Bucket) (objectstore.Store, func(), error) {
	o, err := s.stores.get(ctx, b)
	if err != nil {
		return nil, nil, err
	}
	return o, o.release, nil
}

// pushed is a body that is read at the pace of the tenant's limits, within the stall time, until the stream is cut.
type pushed struct {
	s    *Server
	ctx  context.Context //nolint:containedctx // a reader has no other way to learn of it
	st   *stream
	lane *lane
	r    io.Reader
}

func (p *pushed) Read(b []byte) (int, error) {
	b = b[:min(len(b), chunk)]
	if !p.st.extend(p.s.cfg.Stall) {
		return 0, errCut
	}
	n, err := p.r.Read(b)
	if n > 0 {
		p.s.Metrics.Received(p.st.access.ParticipantContextID, int64(n))
		if perr := p.lane.pace(p.ctx, n); perr != nil {
			return n, errors.Join(errCut, perr)
		}
	}
	return n, err
}
