package ingest

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/dps-gateway/internal/outbox"
	"github.com/tidegate/tidegate/dps-gateway/internal/records"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/objectstore"
	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/tenant"
)

// closing is the time for the last words of a request whose client may have gone: progress, commit, event.
const closing = 30 * time.Second

// Records reads and writes records; *records.Store does.
type Records interface {
	Get(ctx context.Context, pc string, kind gatewayapi.Kind, id string) (*records.Record, error)
	Put(ctx context.Context, pc string, kind gatewayapi.Kind, id string, body []byte, cond records.Condition) (revision string, err error)
}

// Appender puts an entry on the outbox; *outbox.Writer does.
type Appender interface {
	Append(ctx context.Context, e *outbox.Entry) error
}

// Receiver writes what is pushed into sinks. It may be used by many goroutines.
type Receiver struct {
	Records Records
	Outbox  Appender
	// Open opens a tenant's bucket; release must be called once.
	Open func(ctx context.Context, b tenant.Bucket) (store objectstore.Store, release func(), err error)
	Log  zerolog.Logger
}

// Flow is the consumer's push flow that data comes for.
type Flow struct {
	Tenant                               *tenant.Tenant
	ID, AgreementID, DatasetID, Provider string
}

// Progress is how far the data of a flow is.
type Progress struct {
	Offset   int64  // bytes that are safe; -1 = not known
	Size     int64  // bytes of the whole; -1 = not known
	SHA256   string // of the whole, as the provider says; "" = not known
	Complete bool   // delivered
	Created  bool   // by this very request
}

// unknown is the progress of a request that did not get so far as to know.
var unknown = Progress{Offset: -1, Size: -1}

// ErrBody marks an error of the body: its sender has gone, stalls, or was cut off. What has come is kept.
var ErrBody = errors.New("the body broke off")

// Look tells how far the data of a flow is. A delivery whose record was lost to a kill is noted here.
func (r *Receiver) Look(ctx context.Context, f Flow) (Progress, error) {
	d, revision, err := r.read(ctx, f)
	switch {
	case err != nil:
		return unknown, err
	case d.Done:
		return delivered(d), nil
	case !begun(d):
		return Progress{Offset: 0, Size: -1}, nil
	}
	in, err := r.open(ctx, f, d, revision)
	if err != nil {
		return unknown, err
	}
	defer in.release()
	if there, err := in.committed(ctx); err != nil || there {
		return in.progress(), in.fail(ctx, err)
	}
	if err := in.openUpload(ctx, d.ContentType); err != nil {
		return unknown, in.fail(ctx, err)
	}
	return in.progress(), in.fail(ctx, in.close(ctx))
}

// Receive stores the bytes of a request and, if they complete the whole, verifies and delivers it. On an error of kind Conflict
// the progress tells from where to go on. live is asked before the object becomes visible: a flow that was suspended while
// the last byte came is not delivered.
func (r *Receiver) Receive(ctx context.Context, f Flow, q *Request, body io.Reader, live func() error) (Progress, error) {
	d, revision, err := r.read(ctx, f)
	switch {
	case err != nil:
		return unknown, err
	case d.Done:
		return r.repeated(d, q, body)
	}
	in, err := r.open(ctx, f, d, revision)
	if err != nil {
		return unknown, err
	}
	defer in.release()
	if begun(d) {
		if there, err := in.committed(ctx); err != nil {
			return unknown, in.fail(ctx, err)
		} else if there {
			return r.repeated(in.lease.get(), q, body)
		}
	}
	contentType := d.ContentType
	if q.Whole {
		contentType = q.ContentType
	}
	if err := in.openUpload(ctx, contentType); err != nil {
		return unknown, in.fail(ctx, err)
	}
	if err := in.position(ctx, q); err != nil {
		p := in.progress()
		return p, in.fail(ctx, err)
	}
	if err := in.receive(ctx, q, body); err != nil {
		p := in.progress()
		return p, in.fail(ctx, err)
	}
	if d := in.lease.get(); d.Size < 0 || in.upload.Offset() < d.Size {
		p := in.progress()
		return p, in.fail(ctx, in.close(ctx))
	}
	if err := live(); err != nil {
		return unknown, in.fail(ctx, err)
	}
	return in.deliver(ctx)
}

// begun tells whether a push has noted in the record what it sends.
func begun(d gatewayapi.Delivery) bool { return len(d.Upload) > 0 || d.ETag != "" }

func delivered(d gatewayapi.Delivery) Progress {
	return Progress{Offset: d.Size, Size: d.Size, SHA256: d.SHA256, Complete: true}
}

// incoming is one request's work on one flow.
type incoming struct {
	*Receiver
	flow    Flow
	lease   *lease
	store   objectstore.Store
	release func() // of the store
	upload  objectstore.Upload
	reached atomic.Int64
}

// open takes the lease and opens the sink.
func (r *Receiver) open(ctx context.Context, f Flow, d gatewayapi.Delivery, revision string) (*incoming, error) {
	sink, ok := f.Tenant.Sink(d.Sink)
	if !ok {
		return nil, problem.New(problem.Unprocessable, "the consumer takes this data no more")
	}
	bucket, ok := f.Tenant.Bucket(sink.Bucket)
	if !ok {
		return nil, problem.New(problem.Unprocessable, "the consumer takes this data no more")
	}
	if err := objectstore.CheckKey(d.Key); err != nil {
		return nil, problem.New(problem.Unprocessable, "the dataset's name can't be the name of an object at the consumer")
	}
	l, err := r.claim(ctx, f, d, revision)
	if err != nil {
		return nil, err
	}
	in := &incoming{Receiver: r, flow: f, lease: l}
	store, release, err := r.Open(ctx, bucket)
	if err != nil {
		in.release = func() {}
		return nil, in.fail(ctx, sinkFault(err))
	}
	in.store, in.release = store, release
	return in, nil
}

// fail gives the lease back and returns the error.
func (in *incoming) fail(ctx context.Context, err error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closing)
	defer cancel()
	if cerr := in.close(ctx); cerr != nil && err == nil {
		err = cerr
	}
	// If it can't be given back it runs out.
	if rerr := in.lease.release(ctx, func(*gatewayapi.Delivery) {}); rerr != nil {
		in.Log.Debug().Err(rerr).Str("process_id", in.flow.ID).Msg("the lease of a push runs out")
	}
	return err
}

// openUpload opens the upload, and finds what an earlier push has stored.
func (in *incoming) openUpload(ctx context.Context, contentType string) error {
	d := in.lease.get()
	upload, err := in.store.Upload(ctx, d.Key, d.ID, contentType, d.Upload)
	if err != nil {
		return sinkFault(err)
	}
	in.upload = upload
	in.reached.Store(upload.Offset())
	return nil
}

// close lets go of the upload; what it holds safely goes into the record with the next write.
func (in *incoming) close(context.Context) error {
	if in.upload == nil {
		return nil
	}
	offset, state := in.upload.Offset(), in.upload.State()
	in.lease.mu.Lock()
	in.lease.delivery.Offset, in.lease.delivery.Upload = offset, state
	in.lease.mu.Unlock()
	err := in.upload.Close()
	in.upload = nil
	return sinkFault(err)
}

func (in *incoming) progress() Progress {
	d := in.lease.get()
	if d.Done {
		return delivered(d)
	}
	p := Progress{Offset: d.Offset, Size: -1, SHA256: versionOf(d)}
	if begun(d) {
		p.Size = d.Size
	}
	if in.upload != nil {
		p.Offset = in.upload.Offset()
	}
	return p
}

// sinkFault hides the tenant's buckets from its counterparty.
func sinkFault(err error) error {
	switch {
	case err == nil:
		return nil
	case problem.Is(err, problem.Invalid), problem.Is(err, problem.NotFound):
		return problem.Wrap(problem.Unprocessable, err, "the consumer's sink can't take an object of this name")
	}
	e := problem.Wrap(problem.Unavailable, err, "the consumer's sink can't be written")
	e.RetryAfter = time.Second
	return e
}
