package data

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"mime"
	"net/http"
	"os"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/tenant"
)

const (
	chunk     = 1 << 20  // bytes that a client must take within the stall time, and between two looks at the limits
	smallBody = 64 << 10 // bytes up to which an answer is read first and written at once
)

var smallBodies = sync.Pool{New: func() any { b := make([]byte, smallBody); return &b }}

// reference is an answer by reference, with the header fields that are the same each time.
type reference struct {
	gatewayapi.DataReference
	etag, digest, disposition string
}

func newReference(r gatewayapi.DataReference) (*reference, error) {
	sum, err := hex.DecodeString(r.SHA256)
	if err != nil || len(sum) != 32 || r.Size < 0 || r.Bucket == "" || r.Key == "" || r.StoreETag == "" {
		return nil, problem.New(problem.Upstream, "the provider's data server answered with a reference that is none")
	}
	out := &reference{DataReference: r, etag: `"` + r.SHA256 + `"`, digest: "sha-256=:" + base64.StdEncoding.EncodeToString(sum) + ":"}
	if _, _, err := mime.ParseMediaType(r.ContentType); err != nil {
		out.ContentType = "application/octet-stream"
	}
	out.disposition = mime.FormatMediaType("attachment", map[string]string{"filename": path.Base(r.Key)})
	if out.disposition == "" {
		out.disposition = "attachment"
	}
	return out, nil
}

// serveReference answers with the object, or with what the request's conditions ask for. The object itself is left to be sent.
func (s *Server) serveReference(w http.ResponseWriter, r *http.Request, a *answering, t *tenant.Tenant, ref *reference) (outcome, error) {
	h := w.Header()
	if code := precondition(r.Header, ref.etag); code != 0 {
		h.Set("ETag", ref.etag)
		if code == http.StatusPreconditionFailed {
			return outcome{}, problem.New(problem.Stale, "the data is of another version than If-Match says")
		}
		w.WriteHeader(code)
		return outcome{code: code}, nil
	}
	part, whole, ok := span{0, ref.Size}, true, true
	if r.Method == http.MethodGet { // for HEAD, Range is not defined
		part, whole, ok = rangeOf(r.Header, ref.etag, ref.Size)
	}
	if !ok {
		h.Set("Content-Range", "bytes */"+strconv.FormatInt(ref.Size, 10))
		return outcome{}, errRange
	}
	body, err := s.openSpared(a.ctx, t, ref, r.Method, part)
	if err != nil {
		return outcome{}, err
	}
	h.Set("ETag", ref.etag)
	h.Set("Repr-Digest", ref.digest)
	h.Set("Accept-Ranges", "bytes")
	h.Set("Cache-Control", "private, no-cache")
	h.Set("Content-Type", ref.ContentType)
	h.Set("Content-Disposition", ref.disposition)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Length", strconv.FormatInt(part.length, 10))
	code := http.StatusOK
	if !whole {
		code = http.StatusPartialContent
		h.Set("Content-Range", contentRange(part, ref.Size))
	}
	if body == nil {
		w.WriteHeader(code)
		return outcome{code: code}, nil
	}
	a.body, a.length, a.code = body, part.length, code
	return outcome{code: code}, nil
}

func contentRange(p span, size int64) string {
	return "bytes " + strconv.FormatInt(p.offset, 10) + "-" + strconv.FormatInt(p.offset+p.length-1, 10) + "/" + strconv.FormatInt(size, 10)
}

// open opens the part of the object, or looks whether the object is there. An object that is of another version by now is a
// passing failure: the dataset's record will follow.
func (s *Server) open(ctx context.Context, t *tenant.Tenant, ref *reference, method string, part span) (io.ReadCloser, error) {
	bucket, ok := t.Bucket(ref.Bucket)
	if !ok {
		return nil, problem.New(problem.Upstream, "the provider's data server named a bucket that is none of the provider's")
	}
	store, err := s.stores.get(ctx, bucket)
	if err != nil {
		return nil, storeFailure(err)
	}
	if method == http.MethodHead || part.length == 0 {
		defer store.release()
		o, err := store.Head(ctx, ref.Key)
		if err == nil && (o.ETag != ref.StoreETag || o.Size != ref.Size) {
			err = problem.New(problem.Stale, "the object has changed")
		}
		if err != nil {
			return nil, storeFailure(err)
		}
		return nil, nil //nolint:nilnil // no body and no error: there is nothing to send
	}
	body, o, err := store.Open(ctx, ref.Key, ref.StoreETag, part.offset, part.length)
	if err != nil {
		store.release()
		return nil, storeFailure(err)
	}
	if o.Size != ref.Size {
		_ = body.Close() // read only
		store.release()
		return nil, storeFailure(problem.New(problem.Stale, "the object has changed"))
	}
	return &storeBody{ReadCloser: body, store: store}, nil
}

// openSpared is open within the time that an object store has to begin, and unless the store fails all the time.
func (s *Server) openSpared(ctx context.Context, t *tenant.Tenant, ref *reference, method string, part span) (io.ReadCloser, error) {
	done, err := s.breakers.allow(back{objectStore, t.ParticipantContextID, ref.Bucket})
	if err != nil {
		return nil, err
	}
	opening, cancel := context.WithCancelCause(ctx) // the body's too: it ends with it
	late := time.AfterFunc(s.cfg.Wait, func() { cancel(errWait) })
	body, err := s.open(opening, t, ref, method, part)
	if !late.Stop() && err == nil {
		if body != nil {
			_ = body.Close() // given up
		}
		err = errWait
	}
	if err != nil && errors.Is(context.Cause(opening), errWait) {
		err = problem.Wrap(problem.Timeout, err, "the provider's object store did not answer in time")
	}
	if err != nil || body == nil {
		cancel(nil)
	} else {
		context.AfterFunc(ctx, func() { cancel(nil) })
	}
	var failed error
	if err != nil && !errors.Is(err, errOtherVersion) && !problem.Is(err, problem.Upstream) { // these say nothing of the store
		failed = err
	}
	done(ctx, failed)
	return body, err
}

// storeBody lets go of the bucket with the object.
type storeBody struct {
	io.ReadCloser
	store *openStore
}

func (b *storeBody) Close() error {
	err := b.ReadCloser.Close()
	b.store.release()
	return err
}

func storeFailure(err error) error {
	switch problem.KindOf(err) {
	case problem.Stale, problem.NotFound:
		e := problem.Wrap(problem.Unavailable, errors.Join(errOtherVersion, err), "the provider is replacing the data by another version")
		e.RetryAfter = time.Second
		return e
	case problem.Invalid:
		return problem.Wrap(problem.Upstream, err, "the provider's data server named an object that is none")
	case problem.Timeout:
		return problem.Wrap(problem.Timeout, err, "the provider's object store did not answer in time")
	default:
		e := problem.Wrap(problem.Unavailable, err, "the provider's object store can't be reached")
		e.RetryAfter = time.Second
		return e
	}
}

// send writes the body that is left. What is small goes out in one write with the header; the rest in chunks, each within the stall
// time, and from a file by the kernel. A failure must break the connection.
func (s *Server) send(w http.ResponseWriter, a *answering) (int64, error) {
	n := a.length
	if n <= smallBody {
		return s.sendSmall(w, a)
	}
	var src io.Reader = a.body
	if b, ok := src.(*storeBody); ok {
		src = b.ReadCloser
		if f, ok := src.(interface{ File() *os.File }); ok {
			src = f.File() // a limited *os.File is what the network stack recognises
		}
	}
	w.WriteHeader(a.code)
	if n > chunk {
		// net/http copies the beginning of a body whose header is not out through a buffer of 32 KiB, and holds that as long as the body
		// takes: the first of its pages for each slow client. An error shows at the first chunk, too.
		_ = http.NewResponseController(w).Flush()
	}
	give := time.AfterFunc(2*s.cfg.Stall, a.cancel) // the store has as long to give a chunk as the client has to take it
	defer give.Stop()
	var sent int64
	for sent < n {
		size := min(n-sent, chunk)
		if err := a.lane.pace(a.ctx, int(size)); err != nil {
			return sent, err
		}
		if !a.st.extend(s.cfg.Stall) {
			return sent, errCut
		}
		give.Reset(2 * s.cfg.Stall)
		m, err := copyN(w, src, size)
		sent += m
		s.Metrics.Bytes(a.st.access.ParticipantContextID, m)
		if err != nil {
			return sent, err
		}
	}
	if a.st.isCut() {
		return sent, errCut
	}
	return sent, nil
}

// copyN is io.CopyN, without what that has on the stack for writers that can't read by themselves.
func copyN(w io.Writer, src io.Reader, n int64) (int64, error) {
	to, ok := w.(io.ReaderFrom)
	if !ok {
		return io.CopyN(w, src, n)
	}
	m, err := to.ReadFrom(io.LimitReader(src, n))
	if err == nil && m < n {
		err = io.EOF
	}
	return m, err
}

func (s *Server) sendSmall(w http.ResponseWriter, a *answering) (int64, error) {
	buf, _ := smallBodies.Get().(*[]byte)
	defer smallBodies.Put(buf)
	n := int(a.length)
	if err := a.lane.pace(a.ctx, n); err != nil {
		return 0, err
	}
	if _, err := io.ReadFull(a.body, (*buf)[:n]); err != nil {
		return 0, err
	}
	if !a.st.extend(s.cfg.Stall) {
		return 0, errCut
	}
	w.WriteHeader(a.code)
	m, err := w.Write((*buf)[:n])
	s.Metrics.Bytes(a.st.access.ParticipantContextID, int64(m))
	return int64(m), err
}

var (
	errCut          = errors.New("cut")
	errRange        = errors.New("no byte of the range is there")
	errOtherVersion = errors.New("the object is not the one that was named")
)

// isReference tells whether an answer is by reference.
func isReference(h http.Header) bool {
	t, _, _ := strings.Cut(h.Get("Content-Type"), ";")
	return strings.EqualFold(strings.TrimSpace(t), gatewayapi.ReferenceContentType)
}
