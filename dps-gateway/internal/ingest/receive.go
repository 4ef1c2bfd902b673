package ingest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"strings"

	"github.com/tidegate/tidegate/dps-gateway/internal/outbox"
	"github.com/tidegate/tidegate/eventing/catalogue"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/problem"
)

// program is the gateway's name in the source of its events.
const program = "dps-gateway"

// position readies upload and record for a request's bytes: from the beginning, or exactly where the stored ones end.
func (in *incoming) position(ctx context.Context, q *Request) error {
	d, offset := in.lease.get(), in.upload.Offset()
	switch {
	case q.Whole:
		if offset > 0 {
			if err := in.upload.Reset(ctx); err != nil {
				return sinkFault(err)
			}
		}
	case !begun(d) || q.Start != offset:
		return conflict("the data goes on at byte %d", offset)
	case q.Total != d.Size, q.SHA256 != "" && versionOf(d) != "" && q.SHA256 != versionOf(d):
		return conflict("what is stored belongs to another version: the data has to be sent from its beginning")
	}
	// Before the bytes come: after a kill it must be clear to which version the stored ones belong.
	state, from := in.upload.State(), in.upload.Offset()
	in.reached.Store(from)
	return in.lease.save(ctx, func(d *gatewayapi.Delivery) {
		d.Size, d.Offset, d.Upload, d.Slices = q.Total, from, state, d.Slices+1
		d.Resumed = d.Resumed || from > 0
		if q.Whole {
			d.ETag, d.ContentType = "", q.ContentType
			if q.SHA256 != "" { // the provider's word on what it sends; the catalog's may be of an older version
				d.ETag, d.SHA256 = `"`+q.SHA256+`"`, q.SHA256
			}
		}
	})
}

// versionOf is the digest that the provider has named for the bytes that are stored.
func versionOf(d gatewayapi.Delivery) string { return strings.Trim(d.ETag, `"`) }

// receive stores the body.
func (in *incoming) receive(ctx context.Context, q *Request, body io.Reader) error {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	b := &bounded{r: body, left: q.Length, reached: &in.reached}
	stop := in.lease.keep(ctx, end, in.reached.Load)
	_, err := in.upload.ReadFrom(ctx, b)
	stop()
	switch {
	case b.err != nil:
		return errors.Join(ErrBody, b.err)
	case context.Cause(ctx) != nil:
		return errors.Join(ErrBody, context.Cause(ctx))
	case err != nil:
		return sinkFault(err)
	case b.over:
		return in.drop(ctx, problem.Field("Content-Range", "announces less than the body has"))
	}
	if q.Total < 0 {
		size := in.upload.Offset()
		return in.lease.save(ctx, func(d *gatewayapi.Delivery) { d.Size, d.Offset = size, size })
	}
	return nil
}

// deliver verifies what is stored, makes it visible and tells of it. From here on the client need not wait.
func (in *incoming) deliver(ctx context.Context) (Progress, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closing)
	defer cancel()
	d, offset, sum := in.lease.get(), in.upload.Offset(), in.upload.SHA256()
	if d.SHA256 != "" && d.SHA256 != sum {
		e := problem.New(problem.Unprocessable, "the data's SHA-256 is %s, %s was announced", sum, d.SHA256)
		e.Field = "Repr-Digest"
		return unknown, in.fail(ctx, in.drop(ctx, e))
	}
	// The mark by which a request after a kill recognises the object (committed).
	if err := in.lease.save(ctx, func(d *gatewayapi.Delivery) { d.SHA256, d.Size, d.Offset = sum, offset, offset }); err != nil {
		return unknown, in.fail(ctx, err)
	}
	if _, err := in.upload.Commit(ctx); err != nil {
		return in.progress(), in.fail(ctx, sinkFault(err))
	}
	in.upload = nil
	if err := in.tell(ctx); err != nil {
		return unknown, in.fail(ctx, err)
	}
	p := delivered(in.lease.get())
	p.Created = true
	return p, nil
}

// tell appends object.delivered to the outbox and then marks the record done: what is done has been told, at least once.
func (in *incoming) tell(ctx context.Context) error {
	d, pc := in.lease.get(), in.flow.Tenant.ParticipantContextID
	e, err := catalogue.New(program, pc, catalogue.ObjectDelivered, d.Sink+"/"+d.Key, catalogue.Delivered{
		DataFlowID: in.flow.ID, DatasetID: d.DatasetID, AgreementID: in.flow.AgreementID, CounterPartyID: in.flow.Provider,
		Sink: d.Sink, Key: d.Key, Size: d.Size, SHA256: d.SHA256, Slices: d.Slices, Resumed: d.Resumed,
	}, in.flow.ID, d.SHA256)
	if err != nil {
		return err
	}
	entry, err := outbox.ForEvent(pc, e)
	if err != nil {
		return err
	}
	if err := in.Outbox.Append(ctx, entry); err != nil {
		return err
	}
	if err := in.lease.release(ctx, func(d *gatewayapi.Delivery) { d.Done = true }); err != nil {
		return err
	}
	in.Log.Info().Str("participant_context", pc).Str("process_id", in.flow.ID).Str("sink", d.Sink).Str("key", d.Key).
		Int64("size", d.Size).Str("sha256", d.SHA256).Int("slices", d.Slices).Msg("delivered")
	return nil
}

// committed finds out whether a request that was killed had committed the object already: the record says that all bytes were
// there, and the object has their digest. It then makes up for the rest.
func (in *incoming) committed(ctx context.Context) (bool, error) {
	d := in.lease.get()
	if d.Size < 0 || d.Offset != d.Size || d.SHA256 == "" {
		return false, nil
	}
	object, err := in.store.Head(ctx, d.Key)
	if problem.Is(err, problem.NotFound) || (err == nil && object.Size != d.Size) {
		return false, nil
	}
	if err != nil {
		return false, sinkFault(err)
	}
	body, _, err := in.store.Open(ctx, d.Key, object.ETag, 0, -1)
	if problem.Is(err, problem.NotFound) || problem.Is(err, problem.Stale) {
		return false, nil
	}
	if err != nil {
		return false, sinkFault(err)
	}
	defer func() { _ = body.Close() }() // it was only read
	sum := sha256.New()
	if _, err := io.Copy(sum, body); err != nil {
		return false, sinkFault(err)
	}
	if hex.EncodeToString(sum.Sum(nil)) != d.SHA256 {
		return false, nil
	}
	return true, in.tell(ctx)
}

// repeated answers a push of what is delivered already: the same data is a success. Without a digest its bytes tell.
func (r *Receiver) repeated(d gatewayapi.Delivery, q *Request, body io.Reader) (Progress, error) {
	other := conflict("this data flow has delivered already, and other data")
	sum := q.SHA256
	switch {
	case sum != "":
	case !q.Whole:
		return delivered(d), conflict("the data is delivered already")
	case q.Total >= 0 && q.Total != d.Size:
		return delivered(d), other
	default:
		hash := sha256.New()
		if n, err := io.Copy(hash, io.LimitReader(body, d.Size+1)); err != nil {
			return unknown, errors.Join(ErrBody, err)
		} else if n != d.Size {
			return delivered(d), other
		}
		sum = hex.EncodeToString(hash.Sum(nil))
	}
	if sum != d.SHA256 {
		return delivered(d), other
	}
	return delivered(d), nil
}

// drop throws away what is stored, for the reason that it returns.
func (in *incoming) drop(ctx context.Context, reason error) error {
	if err := in.upload.Reset(ctx); err != nil {
		in.Log.Warn().Err(err).Str("process_id", in.flow.ID).Msg("a partial object can't be dropped; the store clears it one day")
	}
	return reason
}

func conflict(format string, args ...any) error {
	return problem.New(problem.Conflict, format, args...)
}

// bounded reads at most left bytes of a body, counts them, and remembers its error.
type bounded struct {
	r       io.Reader
	left    int64 // -1 = no bound
	reached interface{ Add(delta int64) int64 }
	err     error // what ended it, unless that is the end of the body
	over    bool  // there is more than there should be
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left == 0 {
		var one [1]byte
		n, err := io.ReadFull(b.r, one[:]) // the end must follow
		b.over = n > 0
		if err != nil && !errors.Is(err, io.EOF) && !b.over {
			b.err = err
			return 0, err
		}
		return 0, io.EOF
	}
	if b.left > 0 {
		p = p[:min(int64(len(p)), b.left)]
	}
	n, err := b.r.Read(p)
	b.reached.Add(int64(n))
	if b.left > 0 {
		b.left -= int64(n)
		if errors.Is(err, io.EOF) && b.left > 0 {
			err = io.ErrUnexpectedEOF
		}
	}
	if err != nil && !errors.Is(err, io.EOF) {
		b.err = err
	}
	return n, err
}
