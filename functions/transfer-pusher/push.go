package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/functions/lease"
	"github.com/tidegate/tidegate/functions/publishing"
	"github.com/tidegate/tidegate/functions/slices"
	"github.com/tidegate/tidegate/shared/dps"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/objectstore"
	"github.com/tidegate/tidegate/shared/problem"
)

const (
	maxBreaks   = 4                // connections in a row that may break without a byte before the slice gives up
	maxWaits    = 8                // times in a row that a consumer may ask for patience within a slice
	longestWait = 5 * time.Second  // of such a time; who asks for more gets another invocation
	askTimeout  = 10 * time.Second // of the question how much is there
)

// sending pushes one flow's data during one slice.
type sending struct {
	*job
	counters
	lease *lease.Lease[gatewayapi.Push]
	whole func() // lifts the slice's bound
	plain bool   // the consumer knows no offsets

	renewed int64 // bytes that had gone out when its token was renewed last, because it was refused; -1 = never

	store   objectstore.Store
	dataset gatewayapi.Dataset
	address *dps.DataAddress
}

// run returns nil once the consumer has all bytes.
func (p *sending) run(ctx context.Context) error {
	if err := p.open(ctx); err != nil {
		return err
	}
	pause, breaks, waits := p.cfg.ErrorPause, 0, 0
	for {
		before := p.sent.Load()
		complete, err := p.step(ctx)
		if complete {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if errors.Is(err, errRenewed) {
			continue
		}
		if p.sent.Load() > before {
			pause, breaks, waits = p.cfg.ErrorPause, 0, 0
		}
		nap := pause
		if wait := patience(err); wait > 0 && wait <= longestWait && waits < maxWaits {
			waits++
			nap = wait
		} else if err == nil || slices.IsBreak(err) {
			if breaks++; breaks >= maxBreaks {
				return problem.Wrap(problem.Unavailable, err, "the connection to the consumer breaks")
			}
			pause *= 2
		} else {
			return err
		}
		zerolog.Ctx(ctx).Debug().Err(err).Dur("pause", nap).Msg("the push goes on after a pause")
		select {
		case <-time.After(nap):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// step asks the consumer how much is there and sends the rest.
func (p *sending) step(ctx context.Context) (complete bool, err error) {
	there, err := p.ask(ctx)
	if err != nil || there.complete {
		return there.complete, err
	}
	if !there.resumable && !p.plain { // what can't be continued must not be cut into slices
		p.plain = true
		p.whole()
	}
	return p.send(ctx, there)
}

// patience is for how long a consumer asks to be left alone; 0 if it does not.
func patience(err error) time.Duration {
	e, ok := errors.AsType[*problem.Error](err)
	if !ok || e.Kind != problem.Unavailable {
		return 0
	}
	return e.RetryAfter
}

// open reads what is to be sent where, by the rules of the data endpoint: the dataset is registered, on offer, of this tenant, and
// its object still is the one that was registered.
func (p *sending) open(ctx context.Context) error {
	pc := p.tenant.ParticipantContextID
	_, err := p.gateway.Get(ctx, pc, gatewayapi.KindDataset, p.flow.DatasetID, &p.dataset)
	d := &p.dataset
	switch {
	case problem.Is(err, problem.NotFound), err == nil && (d.Withdrawn || d.ID != publishing.DatasetID(pc, d.Bucket, d.Key)):
		return &slices.RefusedError{Reason: "the dataset is not on offer any more", Final: true}
	case err != nil:
		return err
	}
	p.store, err = p.stores.Open(ctx, p.tenant, d.Bucket)
	if problem.Is(err, problem.NotFound) {
		return &slices.RefusedError{Reason: "the dataset is not on offer any more", Final: true}
	}
	if err != nil {
		return err
	}
	object, err := p.store.Head(ctx, d.Key)
	if err = p.sameVersion(object, err); err != nil {
		return err
	}
	p.address, err = p.gateway.DataAddress(ctx, pc, p.flow.DataFlowID)
	if problem.Is(err, problem.NotFound) {
		return slices.Again(time.Second, "the flow has no data address")
	}
	if err != nil {
		return err
	}
	return p.lease.Save(ctx, func(r *gatewayapi.Push) {
		if r.SHA256 != d.SHA256 {
			r.SHA256, r.Size, r.Offset = d.SHA256, d.Size, 0
		}
		p.reached.Store(r.Offset)
	})
}

func (p *sending) sameVersion(object objectstore.Object, err error) error {
	if problem.Is(err, problem.NotFound) || problem.Is(err, problem.Stale) || (err == nil && (object.ETag != p.dataset.StoreETag || object.Size != p.dataset.Size)) {
		return slices.Again(2*longestWait, "another version of the dataset is being published")
	}
	return err
}

// ask asks how much is there, by HEAD. The HTTP profile knows no such question, so an endpoint that does not answer it is one that
// takes the whole by one request.
func (p *sending) ask(ctx context.Context) (there, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	req, err := p.request(ctx, http.MethodHead, nil)
	if err != nil {
		return there{}, err
	}
	res, err := p.consumer.Do(req)
	if err != nil {
		return there{}, slices.Break(slices.Unreachable("consumer", err))
	}
	_ = res.Body.Close() // HEAD has none
	if err := p.renew(ctx, res.StatusCode); err != nil {
		return there{}, err
	}
	t, err := readThere(res, p.dataset.SHA256, p.dataset.Size)
	if err == nil && t.resumable {
		p.reached.Store(t.offset)
	}
	return t, err
}

// send sends what is missing by one request.
func (p *sending) send(ctx context.Context, from there) (complete bool, err error) {
	d := &p.dataset
	body, object, err := p.store.Open(ctx, d.Key, d.StoreETag, from.offset, -1)
	if err = p.sameVersion(object, err); err != nil {
		if body != nil {
			_ = body.Close() // it was only read
		}
		return false, err
	}
	defer func() { _ = body.Close() }()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	p.reached.Store(from.offset)
	w := &slices.Watched{Body: body, Stall: p.cfg.StallTime, Cancel: cancel, Count: func(n int) { p.sent.Add(int64(n)); p.reached.Add(int64(n)) }}
	defer w.Watch()()
	req, err := p.request(ctx, http.MethodPut, io.NopCloser(w)) // the transport must not close the object: its last read may be under way
	if err != nil {
		return false, err
	}
	req.ContentLength = d.Size - from.offset
	if req.ContentLength == 0 {
		req.Body = http.NoBody
	} else {
		req.Header.Set("Expect", "100-continue") // who refuses should not have to take the bytes first
	}
	if from.offset > 0 {
		req.Header.Set("Content-Range", contentRange(from.offset, d.Size))
	}
	req.Header.Set("Repr-Digest", reprDigest(d.SHA256))
	if d.ContentType != "" {
		req.Header.Set("Content-Type", d.ContentType)
	}
	res, err := p.consumer.Do(req)
	if err != nil {
		if _, fault := w.Seen(); fault != nil && ctx.Err() == nil { // of the store, not of the connection
			return false, problem.Wrap(problem.Unavailable, fault, "the dataset's object can't be read")
		}
		return false, slices.Break(errors.Join(slices.Unreachable("consumer", err), context.Cause(ctx)))
	}
	defer func() { _ = res.Body.Close() }()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10)) // so that the connection can serve again
	if err := p.renew(ctx, res.StatusCode); err != nil {
		return false, err
	}
	return readResult(res, d.SHA256)
}

// errRenewed says that the token was refused and is another now.
var errRenewed = errors.New("the access token was renewed")

// renew has the gateway renew a token that the consumer has refused. It returns errRenewed then, and nil if there is no other token or
// the last one was refused too.
func (p *sending) renew(ctx context.Context, status int) error {
	if status != http.StatusUnauthorized || p.renewed == p.sent.Load() || !p.address.Renewable() {
		return nil
	}
	address, err := p.gateway.RenewDataAddress(ctx, p.tenant.ParticipantContextID, p.flow.DataFlowID, p.address.Property(dps.PropertyAuthorization))
	switch {
	case problem.Is(err, problem.Conflict), problem.Is(err, problem.NotFound):
		return nil // the consumer's refusal is what there is to tell
	case err != nil:
		return err
	}
	zerolog.Ctx(ctx).Info().Str("data_flow_id", p.flow.DataFlowID).Msg("the access token was refused and has been renewed")
	p.address, p.renewed = address, p.sent.Load()
	return errRenewed
}

// request makes a request with the token of the data address.
func (p *sending) request(ctx context.Context, method string, body io.Reader) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, method, p.address.Endpoint, body)
	if err != nil {
		return nil, &slices.RefusedError{Reason: "the consumer's data address is no URL", Final: true}
	}
	return req, slices.Authorize(req, p.address)
}
