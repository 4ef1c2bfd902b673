package main

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/functions/lease"
	"github.com/tidegate/tidegate/functions/slices"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/tenant"
)

// job is one invocation's work on one flow.
type job struct {
	*handler
	tenant   *tenant.Tenant
	flow     *gatewayapi.Flow
	push     gatewayapi.Push // as read; run works on the lease's copy
	revision string
}

func (j *job) record() lease.Record[gatewayapi.Push] {
	return lease.Record[gatewayapi.Push]{
		Gateway: j.gateway, ParticipantContextID: j.tenant.ParticipantContextID, Kind: gatewayapi.KindPush, ID: j.flow.DataFlowID,
		Time: j.cfg.LeaseTime, Now: j.now,
		Hold:  func(p *gatewayapi.Push) (*string, *time.Time) { return &p.LeaseOwner, &p.LeaseUntil },
		Stamp: func(p *gatewayapi.Push, now time.Time) { p.UpdatedAt, p.Offset = now, min(p.Offset, p.Size) },
	}
}

// run sends for one slice.
func (j *job) run(ctx context.Context) (*event.Event, error) {
	l, err := lease.Claim(ctx, j.record(), j.push, j.revision)
	if err != nil {
		return nil, err
	}
	slice, bound := slices.Begin(ctx, j.cfg.SliceTime, j.draining)
	p := &sending{job: j, lease: l, whole: bound.Whole, renewed: -1}
	stop := l.Keep(slice, bound.End, func(d *gatewayapi.Push) { d.Offset = p.reached.Load() }, func(ctx context.Context) error { return j.mover.Started(ctx, j.flow) })
	err = p.run(slice)
	stop()
	err = slices.Cause(slice, err)
	bound.End(nil)

	// The rest must happen although the caller may have gone: the record says how the slice has ended.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), slices.Closing)
	defer cancel()
	return j.conclude(ctx, p, err)
}

// conclude writes how the slice has ended and says what follows.
func (j *job) conclude(ctx context.Context, p *sending, err error) (*event.Event, error) {
	log := zerolog.Ctx(ctx)
	if err == nil {
		d, err := p.lease.Release(ctx, func(d *gatewayapi.Push) { d.Done, d.Offset, d.Slices = true, d.Size, d.Slices+1 })
		if err != nil {
			return nil, err
		}
		j.push = d
		log.Info().Str("data_flow_id", d.ID).Str("dataset_id", d.DatasetID).Int64("size", d.Size).Str("sha256", d.SHA256).Int("slices", d.Slices).Msg("pushed")
		return nil, j.finish(ctx)
	}
	if errors.Is(err, lease.ErrLost) {
		return nil, slices.Again(time.Second, "another invocation has taken the flow over")
	}
	if p.plain && errors.Is(err, context.DeadlineExceeded) {
		err = &slices.RefusedError{Reason: "the consumer's endpoint can't continue a push, and did not take the whole in the time of one invocation"}
	}
	if no, ok := errors.AsType[*slices.RefusedError](err); ok {
		return nil, j.refused(ctx, p, no)
	}
	sent := p.sent.Load()
	d, rerr := p.lease.Release(ctx, func(d *gatewayapi.Push) {
		d.Offset = p.reached.Load()
		if sent > 0 {
			d.Slices++
		}
	})
	if rerr != nil {
		return nil, rerr
	}
	switch {
	case errors.Is(err, slices.ErrFlowEnded):
		log.Info().Int64("offset", d.Offset).Msg("the flow was suspended or ended")
		return nil, nil
	case errors.Is(err, slices.ErrOver) && sent > 0:
		log.Info().Int64("offset", d.Offset).Int64("size", d.Size).Int("slice", d.Slices).Msg("slice ended")
		return j.mover.Progressed(j.flow, slices.Progress{DatasetID: d.DatasetID, Offset: d.Offset, Size: d.Size, Slices: d.Slices})
	case errors.Is(err, slices.ErrOver), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return nil, slices.Again(time.Second, "no byte went out within the slice")
	}
	log.Warn().Err(err).Int64("offset", d.Offset).Msg("the push broke off")
	return nil, err
}

// refused counts what the consumer has refused; when it is too much, or if it can't get better, the flow is given up.
func (j *job) refused(ctx context.Context, p *sending, no *slices.RefusedError) error {
	d, err := p.lease.Release(ctx, func(d *gatewayapi.Push) { d.Attempts++ })
	if err != nil {
		return err
	}
	log := zerolog.Ctx(ctx)
	if err := j.mover.Started(ctx, j.flow); err != nil {
		log.Info().Str("reason", no.Reason).Msg("the flow is not started any more")
		return nil
	}
	if !no.Final && d.Attempts < j.cfg.MaxRefusals {
		return slices.Again(max(j.cfg.RefusalPause, no.Wait), "%s (%d of %d)", no.Reason, d.Attempts, j.cfg.MaxRefusals)
	}
	log.Error().Str("reason", no.Reason).Int("attempts", d.Attempts).Msg("the flow is given up")
	if _, err := p.lease.Release(ctx, func(d *gatewayapi.Push) { d.Done, d.Failed = true, no.Reason }); err != nil {
		return err
	}
	j.push.Failed = no.Reason
	return j.finish(ctx)
}

// finish tells the gateway how the push has ended. It is repeated until it has been heard.
func (j *job) finish(ctx context.Context) error {
	if j.flow.State.Terminal() {
		return nil
	}
	var err error
	if pc, id := j.tenant.ParticipantContextID, j.flow.DataFlowID; j.push.Failed != "" {
		err = j.gateway.Errored(ctx, pc, id, j.push.Failed)
	} else {
		err = j.gateway.Complete(ctx, pc, id)
	}
	if problem.Is(err, problem.Conflict) || problem.Is(err, problem.NotFound) { // it ended otherwise meanwhile
		zerolog.Ctx(ctx).Warn().Err(err).Msg("the push is over, but the flow ended otherwise")
		return nil
	}
	return err
}

// counters are what other goroutines read of a push under way.
type counters struct {
	sent    atomic.Int64 // bytes in this slice
	reached atomic.Int64 // bytes of the whole that are at the consumer, or on the way to it
}
