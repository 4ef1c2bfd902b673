package main

import (
	"context"
	"errors"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/eventing/catalogue"
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
	delivery gatewayapi.Delivery // as read; run works on the lease's copy
	revision string
}

func (j *job) record() lease.Record[gatewayapi.Delivery] {
	return lease.Record[gatewayapi.Delivery]{
		Gateway: j.gateway, ParticipantContextID: j.tenant.ParticipantContextID, Kind: gatewayapi.KindDelivery, ID: j.flow.DataFlowID,
		Time: j.cfg.LeaseTime, Now: j.now,
		Hold: func(d *gatewayapi.Delivery) (*string, *time.Time) { return &d.LeaseOwner, &d.LeaseUntil },
		Stamp: func(d *gatewayapi.Delivery, now time.Time) {
			d.UpdatedAt = now
			if d.Size >= 0 { // what is stored of a version that has gone may be longer than what the catalog says of the new one
				d.Offset = min(d.Offset, d.Size)
			}
		},
	}
}

// run pulls for one slice.
func (j *job) run(ctx context.Context) (*event.Event, error) {
	held, err := lease.Claim(ctx, j.record(), j.delivery, j.revision)
	if err != nil {
		return nil, err
	}
	slice, bound := slices.Begin(ctx, j.cfg.SliceTime, j.draining)
	p := &pull{job: j, lease: held, renewed: -1}
	stop := held.Keep(slice, bound.End, func(d *gatewayapi.Delivery) {
		if n := p.reached.Load(); n > 0 {
			d.Offset = n
		}
	}, func(ctx context.Context) error { return j.mover.Started(ctx, j.flow) })
	err = p.run(slice)
	stop()
	err = slices.Cause(slice, err)
	bound.End(nil)

	// The rest must happen although the caller may have gone: the record says how the slice has ended.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), slices.Closing)
	defer cancel()
	if cerr := p.close(); cerr != nil && err == nil {
		err = cerr
	}
	return j.conclude(ctx, p, err)
}

// conclude writes how the slice has ended and says what follows.
func (j *job) conclude(ctx context.Context, p *pull, err error) (*event.Event, error) {
	log := zerolog.Ctx(ctx)
	if err == nil {
		d, err := p.lease.Release(ctx, func(d *gatewayapi.Delivery) { d.Done, d.Slices = true, d.Slices+1 })
		if err != nil {
			return nil, err
		}
		j.delivery = d
		return j.finish(ctx)
	}
	if errors.Is(err, lease.ErrLost) {
		return nil, slices.Again(time.Second, "another invocation has taken the flow over")
	}
	if no, ok := errors.AsType[*slices.RefusedError](err); ok {
		return nil, j.refused(ctx, p, no)
	}
	d, rerr := p.lease.Release(ctx, func(d *gatewayapi.Delivery) {
		if p.received.Load() > 0 {
			d.Slices++
		}
	})
	if rerr != nil {
		return nil, rerr
	}
	switch {
	case errors.Is(err, slices.ErrFlowEnded):
		log.Info().Int64("offset", d.Offset).Msg("the flow was suspended or ended, what is stored is kept")
		return nil, nil
	case errors.Is(err, slices.ErrOver) && p.received.Load() > 0:
		log.Info().Int64("offset", d.Offset).Int64("size", d.Size).Int("slice", d.Slices).Msg("slice ended")
		return j.mover.Progressed(j.flow, slices.Progress{DatasetID: d.DatasetID, Offset: d.Offset, Size: d.Size, Slices: d.Slices})
	case errors.Is(err, slices.ErrOver), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return nil, slices.Again(time.Second, "no byte came within the slice")
	}
	log.Warn().Err(err).Int64("offset", d.Offset).Msg("the pull broke off, what is stored is kept")
	return nil, err
}

// refused counts what the provider has refused or got wrong; when it is too much, or if it can't get better, the flow is
// given up.
func (j *job) refused(ctx context.Context, p *pull, no *slices.RefusedError) error {
	if no.Reset {
		p.reset(ctx)
	}
	d, err := p.lease.Release(ctx, func(d *gatewayapi.Delivery) { d.Attempts++ })
	if err != nil {
		return err
	}
	flow, err := j.gateway.Flow(ctx, j.tenant.ParticipantContextID, j.flow.DataFlowID)
	if err != nil {
		return err
	}
	log := zerolog.Ctx(ctx)
	if flow.State != j.flow.State {
		log.Info().Str("state", string(flow.State)).Str("reason", no.Reason).Msg("the flow is not started any more")
		return nil
	}
	if !no.Final && d.Attempts < j.cfg.MaxRefusals {
		return slices.Again(max(j.cfg.RefusalPause, no.Wait), "%s (%d of %d)", no.Reason, d.Attempts, j.cfg.MaxRefusals)
	}
	log.Error().Str("reason", no.Reason).Int("attempts", d.Attempts).Msg("the flow is given up")
	err = j.gateway.Errored(ctx, j.tenant.ParticipantContextID, j.flow.DataFlowID, no.Reason)
	if problem.Is(err, problem.Conflict) || problem.Is(err, problem.NotFound) { // it has ended meanwhile
		return nil
	}
	return err
}

// finish completes the flow and tells of the delivery. It is repeated until both have been heard.
func (j *job) finish(ctx context.Context) (*event.Event, error) {
	if !j.flow.State.Terminal() {
		err := j.gateway.Complete(ctx, j.tenant.ParticipantContextID, j.flow.DataFlowID)
		if problem.Is(err, problem.Conflict) || problem.Is(err, problem.NotFound) {
			zerolog.Ctx(ctx).Warn().Err(err).Msg("the data is delivered, but the flow ended otherwise")
		} else if err != nil {
			return nil, err
		}
	}
	d := j.delivery
	return catalogue.New(name, j.tenant.ParticipantContextID, catalogue.ObjectDelivered, d.Sink+"/"+d.Key, catalogue.Delivered{
		DataFlowID: j.flow.DataFlowID, DatasetID: d.DatasetID, AgreementID: j.flow.AgreementID, CounterPartyID: j.flow.CounterPartyID,
		Sink: d.Sink, Key: d.Key, Size: d.Size, SHA256: d.SHA256, Slices: d.Slices, Resumed: d.Resumed,
	}, j.flow.DataFlowID, d.SHA256)
}
