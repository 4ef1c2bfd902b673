package data

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"
)

const valueBuffer = 32 << 10

// valueHeaders are the fields of a data server's own answer that pass. Those of the connection and cookies do not.
var valueHeaders = []string{
	"Accept-Ranges", "Cache-Control", "Content-Digest", "Content-Disposition", "Content-Encoding", "Content-Language",
	"Content-Length", "Content-Range", "Content-Type", "Etag", "Expires", "Last-Modified", "Repr-Digest", "Vary",
}

// serveValue passes the data server's own answer on.
func (s *Server) serveValue(ctx context.Context, w http.ResponseWriter, r *http.Request, st *stream, l *lane, v *value) outcome {
	defer v.close()
	h := w.Header()
	for _, name := range valueHeaders {
		if vals := v.Header.Values(name); len(vals) > 0 {
			h[name] = vals
		}
	}
	h.Set("X-Content-Type-Options", "nosniff")
	if h.Get("Content-Disposition") == "" {
		h.Set("Content-Disposition", "attachment") // never a page of ours
	}
	if h.Get("Cache-Control") == "" {
		h.Set("Cache-Control", "private, no-cache")
	}
	w.WriteHeader(v.StatusCode)
	if r.Method == http.MethodHead || v.StatusCode == http.StatusNoContent || v.StatusCode == http.StatusNotModified {
		return outcome{code: v.StatusCode}
	}
	n, err := s.pass(ctx, w, st, l, v)
	return outcome{code: v.StatusCode, bytes: n, broken: err}
}

// pass copies the body. A data server that gives nothing for the stall time, or a client that takes nothing, ends it.
func (s *Server) pass(ctx context.Context, w http.ResponseWriter, st *stream, l *lane, v *value) (int64, error) {
	stalled := time.AfterFunc(s.cfg.Stall, v.cancel)
	defer stalled.Stop()
	buf := make([]byte, valueBuffer)
	var sent int64
	for {
		n, rerr := v.Body.Read(buf)
		stalled.Reset(s.cfg.Stall)
		if n > 0 {
			if err := l.pace(ctx, n); err != nil {
				return sent, err
			}
			if !st.extend(s.cfg.Stall) {
				return sent, errCut
			}
			m, err := w.Write(buf[:n])
			sent += int64(m)
			s.Metrics.Bytes(st.access.ParticipantContextID, int64(m))
			if err != nil {
				return sent, err
			}
			if v.ContentLength < 0 { // it comes as it is computed: the consumer gets it so
				if err := st.rc.Flush(); err != nil {
					return sent, err
				}
			}
		}
		if errors.Is(rerr, io.EOF) {
			if st.isCut() {
				return sent, errCut
			}
			return sent, nil
		}
		if rerr != nil {
			return sent, rerr
		}
	}
}
