package main

import (
	"context"
	"crypto/rand"
	"errors"
	"strconv"
	"sync"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/tidegate/tidegate/eventing/catalogue"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/problem"
)

// lease is an invocation's hold on a delivery record. Every write of the record goes through it, renews it, and is a
// compare-and-set, so it finds out when the hold is lost.
type lease struct {
	job   *job
	owner string

	mu       sync.Mutex
	delivery gatewayapi.Delivery
	revision string
}

// claim takes the lease, or says when to try again.
func (j *job) claim(ctx context.Context) (*lease, error) {
	if wait := j.delivery.LeaseUntil.Sub(j.now()); j.delivery.LeaseOwner != "" && wait > 0 {
		return nil, again(min(wait, 5*time.Second), "another invocation is at work on this flow")
	}
	l := &lease{job: j, owner: rand.Text(), delivery: j.delivery, revision: j.revision}
	return l, l.save(ctx, func(*gatewayapi.Delivery) {})
}

// save changes the record and renews the lease.
func (l *lease) save(ctx context.Context, change func(d *gatewayapi.Delivery)) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	next := l.delivery
	change(&next)
	next.LeaseOwner, next.LeaseUntil = l.owner, l.job.now().Add(l.job.cfg.LeaseTime).UTC()
	return l.put(ctx, next)
}

// release changes the record and gives the lease back.
func (l *lease) release(ctx context.Context, change func(d *gatewayapi.Delivery)) (gatewayapi.Delivery, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	next := l.delivery
	change(&next)
	next.LeaseOwner, next.LeaseUntil = "", time.Time{}
	err := l.put(ctx, next)
	return l.delivery, err
}

func (l *lease) put(ctx context.Context, next gatewayapi.Delivery) error {
	next.UpdatedAt = l.job.now().UTC()
	if next.Size >= 0 { // what is stored of a version that has gone may be longer than what the catalog says of the new one
		next.Offset = min(next.Offset, next.Size)
	}
	rev, err := l.write(ctx, next)
	if problem.Is(err, problem.Stale) && l.reread(ctx) {
		rev, err = l.write(ctx, next)
	}
	if problem.Is(err, problem.Stale) {
		return problem.Wrap(problem.Unavailable, errLeaseLost, "another invocation is at work on this flow")
	}
	if err != nil {
		return err
	}
	l.delivery, l.revision = next, rev
	return nil
}

func (l *lease) write(ctx context.Context, d gatewayapi.Delivery) (revision string, err error) {
	return l.job.gateway.Put(ctx, l.job.tenant.ParticipantContextID, gatewayapi.KindDelivery, l.job.flow.DataFlowID, d, gatewayapi.IfRevision(l.revision))
}

// reread takes the record's revision if its last writer is this invocation: the answer to that write was lost on the way.
func (l *lease) reread(ctx context.Context) bool {
	var d gatewayapi.Delivery
	rev, err := l.job.gateway.Get(ctx, l.job.tenant.ParticipantContextID, gatewayapi.KindDelivery, l.job.flow.DataFlowID, &d)
	if err != nil || d.LeaseOwner != l.owner {
		return false
	}
	l.revision = rev
	return true
}

// get returns the record as this invocation has written it last.
func (l *lease) get() gatewayapi.Delivery {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.delivery
}

// keep renews the lease while a slice runs, and ends the slice if the lease is lost or the flow is not started any more. The
// function that it returns stops it.
func (l *lease) keep(slice context.Context, end context.CancelCauseFunc, started func(context.Context) bool, reached func() int64) (stop func()) {
	var work sync.WaitGroup
	quit := make(chan struct{})
	work.Go(func() {
		tick := time.NewTicker(max(l.job.cfg.LeaseTime/3, time.Millisecond))
		defer tick.Stop()
		for {
			select {
			case <-quit:
				return
			case <-slice.Done():
				return
			case <-tick.C:
			}
			if err := l.renew(slice, reached()); err != nil {
				end(err)
				return
			}
			if !started(slice) {
				end(errFlowEnded)
				return
			}
		}
	})
	return func() { close(quit); work.Wait() }
}

// renew renews the lease and tells how far the flow is. A gateway that can't be reached is borne as long as the lease lasts.
func (l *lease) renew(ctx context.Context, reached int64) error {
	err := l.save(ctx, func(d *gatewayapi.Delivery) {
		if reached > 0 {
			d.Offset = reached
		}
	})
	switch {
	case err == nil, ctx.Err() != nil:
		return nil
	case !errors.Is(err, errLeaseLost) && l.get().LeaseUntil.After(l.job.now()):
		return nil
	}
	return errLeaseLost
}

// progressed is the follow-up event by which the next slice begins.
func (j *job) progressed(d gatewayapi.Delivery) (*event.Event, error) {
	return catalogue.New(name, j.tenant.ParticipantContextID, catalogue.TransferProgressed, j.flow.DataFlowID, catalogue.Transfer{
		TransferProcessID: j.flow.DataFlowID, DatasetID: d.DatasetID, AgreementID: j.flow.AgreementID, CounterPartyID: j.flow.CounterPartyID,
		Offset: d.Offset, Size: d.Size, Slice: d.Slices,
	}, strconv.FormatInt(d.Offset, 10), strconv.Itoa(d.Slices))
}
