package main

import (
	"context"
	"errors"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/eventing/catalogue"
	"github.com/tidegate/tidegate/functions/lease"
	"github.com/tidegate/tidegate/shared/dps"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/tenant"
)

// closing is the time for the last words of an invocation whose own time is over. Should the lease run out within it, the
// compare-and-set of the record decides.
const closing = 4 * time.Second

// Why a slice ends although neither the data nor the consumer has.
var (
	errSliceOver = errors.New("the slice is over")
	errFlowEnded = errors.New("the flow is not started any more")
)

// refusal says that the consumer, or this side, does not do its part. It counts, and at last ends the flow.
type refusal struct {
	reason string
	final  bool          // it can't get better by trying again
	wait   time.Duration // as the consumer asks
}

func (r *refusal) Error() string { return r.reason }

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
	slice, end, whole := j.slice(ctx)
	p := &sending{job: j, lease: l, whole: whole, renewed: -1}
	stop := l.Keep(slice, end, func(d *gatewayapi.Push) { d.Offset = p.reached.Load() }, j.flowStarted)
	err = p.run(slice)
	stop()
	if cause := context.Cause(slice); err != nil && cause != nil {
		err = cause // what ended the slice, not how that showed
	}
	end(nil)

	// The rest must happen although the caller may have gone: the record says how the slice has ended.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closing)
	defer cancel()
	return j.conclude(ctx, p, err)
}

// slice returns the context of the slice, how to end it with a cause, and how to give it all the time that the invocation has.
func (j *job) slice(ctx context.Context) (_ context.Context, end context.CancelCauseFunc, whole func()) {
	slice, end := context.WithCancelCause(ctx)
	timer := time.AfterFunc(j.cfg.SliceTime, func() { end(errSliceOver) })
	go func() {
		select {
		case <-j.draining:
			end(errSliceOver)
		case <-slice.Done():
		}
		timer.Stop()
	}()
	return slice, end, func() { timer.Stop() }
}

// flowStarted returns an error if the flow may not be sent any more; nil if that can't be found out now.
func (j *job) flowStarted(ctx context.Context) error {
	f, err := j.gateway.Flow(ctx, j.tenant.ParticipantContextID, j.flow.DataFlowID)
	if err == nil && f.State != j.flow.State {
		return errFlowEnded
	}
	return nil
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
		return nil, again(time.Second, "another invocation has taken the flow over")
	}
	if p.plain && errors.Is(err, context.DeadlineExceeded) {
		err = &refusal{reason: "the consumer's endpoint can't continue a push, and did not take the whole in the time of one invocation"}
	}
	if no, ok := errors.AsType[*refusal](err); ok {
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
	case errors.Is(err, errFlowEnded):
		log.Info().Int64("offset", d.Offset).Msg("the flow was suspended or ended")
		return nil, nil
	case errors.Is(err, errSliceOver) && sent > 0:
		log.Info().Int64("offset", d.Offset).Int64("size", d.Size).Int("slice", d.Slices).Msg("slice ended")
		return j.progressed(d)
	case errors.Is(err, errSliceOver), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return nil, again(time.Second, "no byte went out within the slice")
	}
	log.Warn().Err(err).Int64("offset", d.Offset).Msg("the push broke off")
	return nil, err
}

// refused counts what the consumer has refused; when it is too much, or if it can't get better, the flow is given up.
func (j *job) refused(ctx context.Context, p *sending, no *refusal) error {
	d, err := p.lease.Release(ctx, func(d *gatewayapi.Push) { d.Attempts++ })
	if err != nil {
		return err
	}
	log := zerolog.Ctx(ctx)
	if err := j.flowStarted(ctx); err != nil {
		log.Info().Str("reason", no.reason).Msg("the flow is not started any more")
		return nil
	}
	if !no.final && d.Attempts < j.cfg.MaxRefusals {
		return again(max(j.cfg.RefusalPause, no.wait), "%s (%d of %d)", no.reason, d.Attempts, j.cfg.MaxRefusals)
	}
	log.Error().Str("reason", no.reason).Int("attempts", d.Attempts).Msg("the flow is given up")
	if _, err := p.lease.Release(ctx, func(d *gatewayapi.Push) { d.Done, d.Failed = true, no.reason }); err != nil {
		return err
	}
	j.push.Failed = no.reason
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

// progressed is the follow-up event by which the next slice begins.
func (j *job) progressed(d gatewayapi.Push) (*event.Event, error) {
	e, err := catalogue.New(name, j.tenant.ParticipantContextID, catalogue.TransferProgressed, j.flow.DataFlowID, catalogue.Transfer{
		TransferProcessID: j.flow.DataFlowID, DatasetID: d.DatasetID, AgreementID: j.flow.AgreementID, CounterPartyID: j.flow.CounterPartyID,
		Offset: d.Offset, Size: d.Size, Slice: d.Slices,
	}, strconv.FormatInt(d.Offset, 10), strconv.Itoa(d.Slices))
	if err != nil {
		return nil, err
	}
	// For Triggers: whoever pulls is not woken by what is pushed.
	e.SetExtension(catalogue.ExtFlowRole, string(dps.Provider))
	e.SetExtension(catalogue.ExtFlowDirection, string(dps.Push))
	return e, nil
}

// counters are what other goroutines read of a push under way.
type counters struct {
	sent    atomic.Int64 // bytes in this slice
	reached atomic.Int64 // bytes of the whole that are at the consumer, or on the way to it
}
