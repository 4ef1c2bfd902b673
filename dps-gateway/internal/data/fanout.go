package data

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/tidegate/tidegate/dps-gateway/internal/cache"
	"github.com/tidegate/tidegate/dps-gateway/internal/records"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/problem"
)

const (
	maxReference  = 64 << 10         // bytes of an answer by reference, or of an error
	referenceTTL  = 30 * time.Second // then the data server is asked again
	maxReferences = 4096
	maxCachedPath = 1024 // bytes of path and query; longer ones are asked each time
)

// Datasets reads the record of a dataset; *records.Store does.
type Datasets interface {
	Get(ctx context.Context, pc string, kind gatewayapi.Kind, id string) (*records.Record, error)
}

// question is what is asked for. What is remembered of the answer ends with the dataset's revision.
type question struct {
	pc, flow, dataset, revision, path, query string
}

// value is an answer by value. cancel ends it.
type value struct {
	*http.Response
	cancel context.CancelFunc
}

func (v *value) close() {
	_ = v.Body.Close() // read to its end or given up
	v.cancel()
}

// fanout asks the data server.
type fanout struct {
	url      func(participantContextID string) string
	hc       *http.Client
	wait     time.Duration // for the header of the answer, a cold start included
	datasets Datasets
	doors    *doors
	breakers *breakers
	known    *cache.Cache[question, *reference] // nil: answered by value
	mu       sync.Mutex
	flights  map[question]*flight
}

// flight is one question under way, for all who ask it.
type flight struct {
	done chan struct{}
	ref  *reference
	err  error
}

func newFanout(url func(string) string, hc *http.Client, wait time.Duration, room int, datasets Datasets, b *breakers) *fanout {
	return &fanout{
		url: url, hc: hc, wait: wait, datasets: datasets, doors: &doors{room: room}, breakers: b,
		known: cache.New[question, *reference](maxReferences), flights: map[question]*flight{},
	}
}

// ask returns an answer by reference or by value. Requests that ask the same at the same time wake the data server once; an
// answer by value can't be shared, so then each asks for itself.
func (f *fanout) ask(ctx context.Context, q question, req *gatewayapi.DataRequest) (*reference, *value, error) {
	if len(q.path)+len(q.query) > maxCachedPath {
		return f.post(ctx, ctx, q, req, nil)
	}
	if ref, ok := f.known.Get(q); ok {
		if ref != nil {
			return ref, nil, nil
		}
		return f.post(ctx, ctx, q, req, nil)
	}
	f.mu.Lock()
	has, err := f.doors.place(q.pc)
	if err != nil {
		f.mu.Unlock()
		return nil, nil, err
	}
	defer has.leave()
	fl, waiting := f.flights[q]
	if !waiting {
		fl = &flight{done: make(chan struct{})}
		f.flights[q] = fl
	}
	f.mu.Unlock()
	if waiting {
		select {
		case <-fl.done:
		case <-ctx.Done():
			return nil, nil, problem.Wrap(problem.Unavailable, ctx.Err(), "the request was given up")
		}
		has.leave()
		switch {
		case fl.err != nil || fl.ref != nil:
			return fl.ref, nil, fl.err
		}
		return f.post(ctx, ctx, q, req, nil)
	}
	ref, val, err := f.post(ctx, context.WithoutCancel(ctx), q, req, has) // others share it: the caller's going must not end it
	if err == nil {
		f.known.Put(q, ref, time.Now().Add(referenceTTL))
	}
	fl.ref, fl.err = ref, err
	f.mu.Lock()
	delete(f.flights, q)
	f.mu.Unlock()
	close(fl.done)
	return ref, val, err
}

// forget drops what is known: the object is not what the reference says.
func (f *fanout) forget(q question) { f.known.Drop(q) }

// post asks the data server, while life lasts, from the place that it has, if any. Once an answer by value has begun it ends with ctx, the caller.
func (f *fanout) post(ctx, life context.Context, q question, req *gatewayapi.DataRequest, has *place) (_ *reference, _ *value, err error) {
	asking, cancel := context.WithCancelCause(life)
	timer := time.AfterFunc(f.wait, func() { cancel(errWait) })
	defer func() {
		timer.Stop()
		if err != nil {
			cancel(nil)
		}
	}()
	ask, err := f.request(asking, q, req)
	if err != nil {
		return nil, nil, err
	}
	res, err := f.send(asking, life, ask, has)
	if err != nil {
		return nil, nil, err
	}
	if !timer.Stop() {
		_ = res.Body.Close() // given up
		return nil, nil, serverFailure(asking, errWait)
	}
	if res.StatusCode == http.StatusOK && isReference(res.Header) {
		timer.Reset(f.wait)
		ref, err := readReference(res)
		if err != nil {
			return nil, nil, err
		}
		cancel(nil)
		return ref, nil, nil
	}
	if err := refusedBy(res); err != nil {
		_ = res.Body.Close() // given up
		return nil, nil, err
	}
	stop := context.AfterFunc(ctx, func() { cancel(context.Cause(ctx)) })
	return nil, &value{Response: res, cancel: func() { stop(); cancel(nil) }}, nil
}

// request completes what is asked with the dataset's record.
func (f *fanout) request(ctx context.Context, q question, req *gatewayapi.DataRequest) (*gatewayapi.DataRequest, error) {
	rec, err := f.datasets.Get(ctx, q.pc, gatewayapi.KindDataset, q.dataset)
	if err != nil {
		if problem.Is(err, problem.NotFound) {
			return nil, errNotServed()
		}
		return nil, err
	}
	ask := *req
	if err := json.Unmarshal(rec.Doc, &ask.Dataset); err != nil {
		return nil, problem.Wrap(problem.Internal, err, "the dataset's record is broken")
	}
	if ask.Dataset.Withdrawn {
		return nil, errNotServed()
	}
	return &ask, nil
}

// send sends a question and returns the answer's header, whatever it says. asking bounds both; life is the caller's, by which a
// failure is told from a caller that has gone.
func (f *fanout) send(asking, life context.Context, ask *gatewayapi.DataRequest, has *place) (res *http.Response, err error) {
	body, err := json.Marshal(ask)
	if err != nil {
		return nil, problem.Wrap(problem.Internal, err, "encoding the data request")
	}
	post, err := http.NewRequestWithContext(asking, http.MethodPost, strings.TrimRight(f.url(ask.ParticipantContextID), "/")+gatewayapi.PathData, bytes.NewReader(body))
	if err != nil {
		return nil, problem.Wrap(problem.Internal, err, "making the data request")
	}
	post.Header.Set("Content-Type", "application/json")
	done, err := f.breakers.allow(back{dataServer, ask.ParticipantContextID, ask.Dataset.Bucket})
	if err != nil {
		return nil, err
	}
	turn, err := f.doors.enter(asking, ask.ParticipantContextID, has)
	if err != nil {
		done(life, errNotAsked)
		return nil, err
	}
	res, err = f.hc.Do(post)
	if err != nil {
		err = serverFailure(asking, err)
		done(life, err)
		if life.Err() != nil { // somebody else has to find out
			turn.leave(errNotAsked)
		} else {
			turn.leave(err)
		}
		return nil, err
	}
	failed := failing(res)
	done(life, failed)
	if fromFunction(res.Header) {
		failed = nil // it runs, and says so of what is behind it
	}
	turn.leave(failed)
	return res, nil
}

// failing tells whether an answer says that the data server, or what is behind it, can't answer anyone.
func failing(res *http.Response) error {
	switch res.StatusCode {
	case http.StatusBadGateway:
		return problem.New(problem.Upstream, "the provider's data server can't be reached")
	case http.StatusServiceUnavailable:
		e := problem.New(problem.Unavailable, "the provider's data server can't answer now")
		e.RetryAfter = time.Second
		return e
	case http.StatusGatewayTimeout:
		return problem.New(problem.Timeout, "the provider's data server did not answer in time")
	}
	return nil
}

// fromFunction tells a refusal of a function itself from one of what stands before it, as an activator or a proxy: functions refuse
// by problem documents.
func fromFunction(h http.Header) bool {
	t, _, _ := strings.Cut(h.Get("Content-Type"), ";")
	return strings.EqualFold(strings.TrimSpace(t), problem.ContentType)
}

func readReference(res *http.Response) (*reference, error) {
	defer func() { _ = res.Body.Close() }() // read to its end or given up
	b, err := io.ReadAll(io.LimitReader(res.Body, maxReference))
	if err != nil {
		return nil, problem.Wrap(problem.Upstream, err, "the provider's data server broke off")
	}
	var r gatewayapi.DataReference
	if err := json.Unmarshal(b, &r); err != nil {
		return nil, problem.Wrap(problem.Upstream, err, "the provider's data server answered with a reference that is none")
	}
	return newReference(r)
}

var errWait = errors.New("the wait for the data server is over")

// serverFailure says that the data server is to blame, and how: not reached, or too slow.
func serverFailure(ctx context.Context, err error) error {
	if ne, ok := errors.AsType[net.Error](err); (ok && ne.Timeout()) || errors.Is(context.Cause(ctx), errWait) || errors.Is(err, errWait) {
		return problem.Wrap(problem.Timeout, err, "the provider's data server did not answer in time")
	}
	return problem.Wrap(problem.Upstream, err, "the provider's data server can't be reached")
}

// refusedBy makes an error of an answer that is no data. What the data server says is for the log: it may name what the
// consumer need not know.
func refusedBy(res *http.Response) error {
	switch res.StatusCode {
	case http.StatusOK, http.StatusNonAuthoritativeInfo, http.StatusNoContent, http.StatusPartialContent, http.StatusNotModified:
		return nil
	case http.StatusPreconditionFailed, http.StatusRequestedRangeNotSatisfiable: // answers to the consumer's own header
		return nil
	}
	b, _ := io.ReadAll(io.LimitReader(res.Body, maxReference)) // what could be read
	cause := problem.FromResponse(res.StatusCode, b, res.Header.Get("Retry-After"))
	switch res.StatusCode {
	case http.StatusNotFound, http.StatusGone:
		return &problem.Error{Kind: problem.NotFound, Message: textNotServed, Cause: cause}
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		e := problem.Wrap(problem.Unavailable, cause, "the provider's data server can't answer now")
		e.RetryAfter = max(cause.RetryAfter, time.Second)
		return e
	case http.StatusGatewayTimeout:
		return problem.Wrap(problem.Timeout, cause, "the provider's data server did not get the data in time")
	case http.StatusBadRequest, http.StatusNotAcceptable, http.StatusMethodNotAllowed:
		return problem.Wrap(problem.Invalid, cause, "the provider's data server does not take this request")
	}
	return problem.Wrap(problem.Upstream, cause, "the provider's data server failed")
}
