package ingest

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"sync"
	"time"

	"github.com/tidegate/tidegate/dps-gateway/internal/records"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/problem"
)

// leaseTime is how long a push that does not renew its lease counts as being at work.
const leaseTime = 5 * time.Second

// lease is a request's hold on the delivery record of its flow. Every write of the record goes through it, renews it, and is a
// compare-and-set, so it finds out when the hold is lost.
type lease struct {
	records Records
	pc      string
	owner   string

	mu       sync.Mutex
	delivery gatewayapi.Delivery
	revision string
}

// read reads the record. Nobody having planned a delivery yet is a passing failure: the plan is on its way.
func (r *Receiver) read(ctx context.Context, f Flow) (gatewayapi.Delivery, string, error) {
	var d gatewayapi.Delivery
	rec, err := r.Records.Get(ctx, f.Tenant.ParticipantContextID, gatewayapi.KindDelivery, f.ID)
	if problem.Is(err, problem.NotFound) {
		return d, "", again("nobody has said yet where the data is to go")
	}
	if err != nil {
		return d, "", err
	}
	if err := json.Unmarshal(rec.Doc, &d); err != nil {
		return d, "", problem.Wrap(problem.Internal, err, "the stored delivery")
	}
	return d, rec.Revision, nil
}

// claim takes the lease, or refuses for now.
func (r *Receiver) claim(ctx context.Context, f Flow, d gatewayapi.Delivery, revision string) (*lease, error) {
	if d.LeaseOwner != "" && time.Now().Before(d.LeaseUntil) {
		return nil, busy()
	}
	l := &lease{records: r.Records, pc: f.Tenant.ParticipantContextID, owner: rand.Text(), delivery: d, revision: revision}
	return l, l.save(ctx, func(*gatewayapi.Delivery) {})
}

// save changes the record and renews the lease.
func (l *lease) save(ctx context.Context, change func(d *gatewayapi.Delivery)) error {
	return l.write(ctx, func(d *gatewayapi.Delivery) {
		change(d)
		d.LeaseOwner, d.LeaseUntil = l.owner, time.Now().Add(leaseTime).UTC()
	})
}

// release changes the record and gives the lease back.
func (l *lease) release(ctx context.Context, change func(d *gatewayapi.Delivery)) error {
	return l.write(ctx, func(d *gatewayapi.Delivery) {
		change(d)
		d.LeaseOwner, d.LeaseUntil = "", time.Time{}
	})
}

func (l *lease) write(ctx context.Context, change func(d *gatewayapi.Delivery)) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	next := l.delivery
	change(&next)
	next.UpdatedAt = time.Now().UTC()
	if next.Size >= 0 {
		next.Offset = min(next.Offset, next.Size)
	}
	body, err := json.Marshal(next)
	if err != nil {
		return problem.Wrap(problem.Internal, err, "the delivery")
	}
	rev, err := l.records.Put(ctx, l.pc, gatewayapi.KindDelivery, next.ID, body, records.Condition{IfMatch: l.revision})
	if problem.Is(err, problem.Stale) {
		return busy()
	}
	if err != nil {
		return err
	}
	l.delivery, l.revision = next, rev
	return nil
}

// get returns the record as this request has written it last.
func (l *lease) get() gatewayapi.Delivery {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.delivery
}

// keep renews the lease while a body is read, and ends the reading if the lease is lost. The function that it returns stops it.
func (l *lease) keep(ctx context.Context, end context.CancelCauseFunc, reached func() int64) (stop func()) {
	var work sync.WaitGroup
	quit := make(chan struct{})
	work.Go(func() {
		tick := time.NewTicker(leaseTime / 3)
		defer tick.Stop()
		for {
			select {
			case <-quit:
				return
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			err := l.save(ctx, func(d *gatewayapi.Delivery) { d.Offset = reached() })
			if err != nil && ctx.Err() == nil && (problem.Is(err, problem.TooMany) || time.Now().After(l.get().LeaseUntil)) {
				end(err)
				return
			}
		}
	})
	return func() { close(quit); work.Wait() }
}

// busy refuses a push beside another one of the same flow.
func busy() error { return tooMany("another push of this data is under way") }

func tooMany(text string) error {
	e := problem.New(problem.TooMany, "%s", text)
	e.RetryAfter = time.Second
	return e
}

func again(text string) error {
	e := problem.New(problem.Unavailable, "%s", text)
	e.RetryAfter = time.Second
	return e
}
