package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/functions/lease"
	"github.com/tidegate/tidegate/functions/slices"
	"github.com/tidegate/tidegate/shared/dps"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/objectstore"
	"github.com/tidegate/tidegate/shared/problem"
)

// maxBreaks is how many connections in a row may break without a byte before the slice gives up.
const maxBreaks = 4

// pull fetches one flow's data during one slice.
type pull struct {
	*job
	lease *lease.Lease[gatewayapi.Delivery]

	store    objectstore.Store
	key      string // in the sink's bucket
	address  *dps.DataAddress
	renewed  int64 // bytes that had come when its token was renewed last, because it was refused; -1 = never
	upload   objectstore.Upload
	received atomic.Int64 // bytes in this slice
	reached  atomic.Int64 // bytes of the whole that have come, safe at the sink or on the way into it; 0 = not known yet
}

// run returns nil once the object is committed at the sink with the right length and digest.
func (p *pull) run(ctx context.Context) error {
	if err := p.openSink(ctx); err != nil {
		return err
	}
	if there, err := p.committed(ctx); err != nil || there {
		return err
	}
	var err error
	p.address, err = p.gateway.DataAddress(ctx, p.tenant.ParticipantContextID, p.flow.DataFlowID)
	if problem.Is(err, problem.NotFound) {
		return slices.Again(time.Second, "the flow has no data address yet")
	}
	if err != nil {
		return err
	}
	pause, breaks := p.cfg.ErrorPause, 0
	for {
		before := p.received.Load()
		complete, err := p.fetch(ctx)
		switch {
		case complete:
			return p.commit(ctx)
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil: // a part was answered, as it may be
			continue
		case !slices.IsBreak(err):
			return err
		case p.received.Load() > before:
			pause, breaks = p.cfg.ErrorPause, 0
		}
		if breaks++; breaks >= maxBreaks {
			return problem.Wrap(problem.Unavailable, err, "the connection to the provider breaks")
		}
		zerolog.Ctx(ctx).Debug().Err(err).Dur("pause", pause).Msg("the connection broke, going on")
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return ctx.Err()
		}
		pause *= 2
	}
}

func (p *pull) openSink(ctx context.Context) error {
	d := p.lease.Get()
	sink, ok := p.tenant.Sink(d.Sink)
	if !ok {
		return &slices.RefusedError{Reason: "the sink " + d.Sink + " is not configured any more", Final: true}
	}
	store, err := p.stores.Open(ctx, p.tenant, sink.Bucket)
	if problem.Is(err, problem.NotFound) {
		return &slices.RefusedError{Reason: "the sink's bucket is not configured any more", Final: true}
	}
	if err != nil {
		return err
	}
	p.store, p.key = store, d.Key
	if err := objectstore.CheckKey(p.key); err != nil {
		return &slices.RefusedError{Reason: "the dataset's name can't be the name of an object in the sink", Final: true}
	}
	return nil
}

// committed finds out whether an invocation that was killed had committed the object already: the record says that all bytes
// were there, and the object has their digest.
func (p *pull) committed(ctx context.Context) (bool, error) {
	d := p.lease.Get()
	if d.Size < 0 || d.Offset != d.Size || d.SHA256 == "" || (d.ETag == "" && len(d.Upload) == 0) {
		return false, nil
	}
	object, err := p.store.Head(ctx, p.key)
	if problem.Is(err, problem.NotFound) || (err == nil && object.Size != d.Size) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	body, _, err := p.store.Open(ctx, p.key, object.ETag, 0, -1)
	if problem.Is(err, problem.NotFound) || problem.Is(err, problem.Stale) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer func() { _ = body.Close() }() // it was only read
	sum := sha256.New()
	if _, err := io.Copy(sum, body); err != nil {
		return false, problem.Wrap(problem.Unavailable, err, "the object at the sink can't be read")
	}
	return hex.EncodeToString(sum.Sum(nil)) == d.SHA256, nil
}

// openUpload opens the upload, once in a slice.
func (p *pull) openUpload(ctx context.Context, d gatewayapi.Delivery) error {
	if p.upload != nil {
		return nil
	}
	upload, err := p.store.Upload(ctx, p.key, d.ID, d.ContentType, d.Upload)
	if err != nil {
		return sinkFault(err)
	}
	p.upload = upload
	return nil
}

// sinkFault makes a refusal of what the sink can't take, ever or for now.
func sinkFault(err error) error {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return &slices.RefusedError{Reason: "the sink is full", Final: true, Reset: true}
	case problem.Is(err, problem.Invalid), problem.Is(err, problem.NotFound):
		return &slices.RefusedError{Reason: "the sink can't take an object of this name", Final: true, Reset: true}
	}
	return err
}

// fetch makes one request and stores its answer. It returns true when the upload has all bytes.
func (p *pull) fetch(ctx context.Context) (complete bool, err error) {
	d := p.lease.Get()
	if d.ETag != "" {
		if err := p.openUpload(ctx, d); err != nil {
			return false, err
		}
		if d.Size >= 0 && p.upload.Offset() == d.Size {
			return true, nil
		}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	req, err := p.request(ctx, d)
	if err != nil {
		return false, err
	}
	res, err := p.provider.Do(req)
	if err != nil {
		return false, slices.Break(slices.Unreachable("provider", err))
	}
	defer func() { _ = res.Body.Close() }() // what was wanted of it has been read
	if res.StatusCode == http.StatusUnauthorized {
		if ok, err := p.renew(ctx); ok || err != nil {
			return false, err
		}
	}
	a, err := readAnswer(res)
	if err != nil {
		return false, err
	}
	size, complete, err := p.begin(ctx, d, a)
	if err != nil || complete {
		return complete, err
	}
	body := &slices.Watched{Body: res.Body, Stall: p.cfg.StallTime, Cancel: cancel, Count: p.count}
	defer body.Watch()()
	_, err = p.upload.ReadFrom(ctx, io.LimitReader(body, a.limit()))
	return p.stored(ctx, size, body, err)
}

// renew has the gateway renew a token that the provider has refused; false if there is no other, or the last one was refused too.
func (p *pull) renew(ctx context.Context) (bool, error) {
	if p.renewed == p.received.Load() || !p.address.Renewable() { // no byte came with the last one
		return false, nil
	}
	address, err := p.gateway.RenewDataAddress(ctx, p.tenant.ParticipantContextID, p.flow.DataFlowID, p.address.Property(dps.PropertyAuthorization))
	switch {
	case problem.Is(err, problem.Conflict), problem.Is(err, problem.NotFound):
		return false, nil // the provider's refusal is what there is to tell
	case err != nil:
		return false, err
	}
	zerolog.Ctx(ctx).Info().Str("data_flow_id", p.flow.DataFlowID).Msg("the access token was refused and has been renewed")
	p.address, p.renewed = address, p.received.Load()
	return true, nil
}

// request asks for the rest of the version of which bytes are stored.
func (p *pull) request(ctx context.Context, d gatewayapi.Delivery) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.address.Endpoint, nil)
	if err != nil || (req.URL.Scheme != "https" && req.URL.Scheme != "http") || req.URL.Host == "" {
		return nil, &slices.RefusedError{Reason: "the provider's data address has no usable endpoint", Final: true} // the cause would show it
	}
	if err := slices.Authorize(req, p.address); err != nil {
		return nil, err
	}
	req.Header.Set("Accept-Encoding", "identity") // lengths, ranges and digests are those of the bytes themselves
	if p.upload != nil && p.upload.Offset() > 0 && d.ETag != "" {
		req.Header.Set("Range", "bytes="+itoa(p.upload.Offset())+"-")
		req.Header.Set("If-Range", d.ETag)
	}
	return req, nil
}

// begin readies upload and record for the answer's bytes. It returns the length of the whole, -1 if that is not known.
func (p *pull) begin(ctx context.Context, d gatewayapi.Delivery, a *answer) (size int64, complete bool, err error) {
	var offset int64
	if p.upload != nil {
		offset = p.upload.Offset()
	}
	keep, err := a.continues(offset, d)
	if err != nil {
		return 0, false, err
	}
	if a.status == http.StatusRequestedRangeNotSatisfiable {
		if keep {
			return offset, true, p.note(ctx, a, offset)
		}
		return 0, false, p.restart(ctx, "the provider has less than what is stored")
	}
	d.ContentType = a.contentType
	if err := p.openUpload(ctx, d); err != nil {
		return 0, false, err
	}
	if !keep && p.upload.Offset() > 0 {
		if err := p.upload.Reset(ctx); err != nil {
			return 0, false, sinkFault(err)
		}
	}
	return a.total, false, p.note(ctx, a, a.total)
}

// note writes what the answer says of the data into the record, before its bytes come: a killed process must find to which
// version the stored bytes belong.
func (p *pull) note(ctx context.Context, a *answer, size int64) error {
	offset, state := p.upload.Offset(), p.upload.State()
	p.reached.Store(offset)
	return p.lease.Save(ctx, func(d *gatewayapi.Delivery) {
		if a.digest != "" {
			d.SHA256 = a.digest // the provider's word on what it sends; the catalog's may be of an older version
		}
		if a.status != http.StatusRequestedRangeNotSatisfiable {
			d.ETag, d.ContentType = a.etag, a.contentType
		}
		d.Size, d.Offset, d.Upload = size, offset, state
		d.Resumed = d.Resumed || offset > 0
	})
}

// restart drops what is stored and says that the fetch may go on from the beginning.
func (p *pull) restart(ctx context.Context, reason string) error {
	if err := p.upload.Reset(ctx); err != nil {
		return sinkFault(err)
	}
	err := p.lease.Save(ctx, func(d *gatewayapi.Delivery) { d.ETag, d.Offset = "", 0 })
	if err != nil {
		return err
	}
	return slices.Break(errors.New(reason))
}

// stored judges what has come after the body has ended, one way or the other.
func (p *pull) stored(ctx context.Context, size int64, body *slices.Watched, err error) (complete bool, _ error) {
	offset := p.upload.Offset()
	came, fault := body.Seen()
	switch {
	case size >= 0 && offset == size:
		return true, nil
	case size >= 0 && offset > size:
		return false, &slices.RefusedError{Reason: "the provider sent more than the length that it announced", Reset: true}
	case err == nil && size < 0:
		return true, p.lease.Save(ctx, func(d *gatewayapi.Delivery) { d.Size = offset })
	case err == nil && came > 0:
		return false, nil // less than all: the next request goes on
	case err == nil:
		return false, slices.Break(io.ErrUnexpectedEOF)
	case fault != nil || context.Cause(ctx) != nil: // of the connection
		return false, slices.Break(errors.Join(fault, context.Cause(ctx)))
	default: // of the sink
		return false, sinkFault(err)
	}
}

// commit verifies what is stored and makes it visible.
func (p *pull) commit(ctx context.Context) error {
	d := p.lease.Get()
	offset, sum := p.upload.Offset(), p.upload.SHA256()
	if d.SHA256 != "" && d.SHA256 != sum {
		return &slices.RefusedError{Reason: "the data's SHA-256 is " + sum + ", the provider says " + d.SHA256, Reset: true}
	}
	// The mark by which an invocation after a kill recognises the object (committed).
	if err := p.lease.Save(ctx, func(d *gatewayapi.Delivery) { d.SHA256, d.Size, d.Offset = sum, offset, offset }); err != nil {
		return err
	}
	object, err := p.upload.Commit(ctx)
	if err != nil {
		return sinkFault(err)
	}
	zerolog.Ctx(ctx).Info().Str("data_flow_id", d.ID).Str("sink", d.Sink).Str("key", object.Key).Int64("size", offset).Str("sha256", sum).Msg("delivered")
	return nil
}

// count notes bytes that have come.
func (p *pull) count(n int) {
	p.received.Add(int64(n))
	p.reached.Add(int64(n))
}

// close lets go of the upload; what it holds safely goes into the record with the next write.
func (p *pull) close() error {
	if p.upload == nil {
		return nil
	}
	offset, state := p.upload.Offset(), p.upload.State()
	p.lease.Note(func(d *gatewayapi.Delivery) { d.Offset, d.Upload = offset, state })
	err := p.upload.Close()
	p.upload = nil
	return err
}

// reset drops what is stored: after a wrong digest it is worth nothing.
func (p *pull) reset(ctx context.Context) {
	upload, err := p.store.Upload(ctx, p.key, p.delivery.ID, "", p.lease.Get().Upload)
	if err == nil {
		err = errors.Join(upload.Reset(ctx), upload.Close())
	}
	if err != nil {
		zerolog.Ctx(ctx).Warn().Err(err).Msg("the partial object can't be dropped; the store clears it one day")
	}
	p.lease.Note(func(d *gatewayapi.Delivery) { d.Offset, d.ETag = 0, "" })
}
