package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"github.com/tidegate/tidegate/eventing/catalogue"
	"github.com/tidegate/tidegate/functions/publishing"
	"github.com/tidegate/tidegate/functions/stores"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/objectstore"
	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/tenant"
)

// sweeper finds what notifications lost: it compares each bucket with the dataset records of the gateway and tells the
// differences. It holds nothing between sweeps. In memory it needs the keys of a tenant's datasets, not those of its objects: the
// listing streams past the sorted records.
type sweeper struct {
	tenants     tenants
	stores      *stores.Pool
	gateway     *gatewayapi.Client
	publish     publish
	settle      time.Duration
	maxEvents   int // of one tenant
	concurrency int
	now         func() time.Time
	// unsettled, if not nil, is told of objects that were changed a moment ago. Without it they are left to the next sweep.
	unsettled func(ctx context.Context, pc, bucket string, o objectstore.Object, created bool)
}

// errEnough ends the sweep of a tenant that has had its share.
var errEnough = errors.New("more changes than one sweep tells")

// sweep compares all buckets of all tenants, in a random order: if time runs out, others come first the next time. One
// tenant's failure stops no other; all come back joined.
func (s *sweeper) sweep(ctx context.Context) error {
	all := s.tenants.All()
	rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] }) //nolint:gosec // spreads load, guards nothing
	var failures []error
	for _, t := range all {
		if ctx.Err() != nil {
			return errors.Join(append(failures, ctx.Err())...)
		}
		if err := s.sweepTenant(ctx, t); err != nil {
			failures = append(failures, fmt.Errorf("%s: %w", t.ParticipantContextID, err))
		}
	}
	return errors.Join(failures...)
}

func (s *sweeper) sweepTenant(ctx context.Context, t *tenant.Tenant) error {
	published, err := s.published(ctx, t)
	if err != nil {
		return err
	}
	start := time.Now()
	out := s.newTeller(ctx, t)
	buckets := publishing.Buckets(t)
	for bucket := range published { // from which no rule publishes any more
		if !slices.Contains(buckets, bucket) {
			buckets = append(buckets, bucket)
		}
	}
	var failures []error
	for _, bucket := range buckets {
		if err := s.compare(ctx, t, bucket, published[bucket], out); err != nil {
			failures = append(failures, fmt.Errorf("bucket %s: %w", bucket, err))
		}
	}
	failures = append(failures, out.wait())
	if n := out.sent.Load(); n > 0 {
		zerolog.Ctx(ctx).Info().Str("participant_context_id", t.ParticipantContextID).Int64("events", n).
			Dur("duration", time.Since(start)).Msg("swept")
	}
	return errors.Join(failures...)
}

// known is what the sweep needs of a dataset record.
type known struct {
	key, etag, terms, causedBy string
	complete                   bool // the control plane is as the record says
	withdrawn                  bool
}

// published reads the records of a tenant, sorted by key within each bucket.
func (s *sweeper) published(ctx context.Context, t *tenant.Tenant) (map[string][]known, error) {
	byBucket := map[string][]known{}
	for d, err := range gatewayapi.List[gatewayapi.Dataset](ctx, s.gateway, t.ParticipantContextID, gatewayapi.KindDataset) {
		if err != nil {
			return nil, err
		}
		if d.Withdrawn && d.PublishedAt.IsZero() {
			continue
		}
		byBucket[d.Bucket] = append(byBucket[d.Bucket], known{
			key: d.Key, etag: d.StoreETag, terms: d.Terms, causedBy: d.CausedBy,
			complete: !d.PublishedAt.IsZero() && !d.Withdrawn, withdrawn: d.Withdrawn,
		})
	}
	for _, list := range byBucket {
		slices.SortFunc(list, func(a, b known) int { return cmp.Compare(a.key, b.key) })
	}
	return byBucket, nil
}

// compare merges the listing of a bucket with its records, both in the order of keys.
func (s *sweeper) compare(ctx context.Context, t *tenant.Tenant, bucket string, records []known, out *teller) error {
	for o, err := range s.list(ctx, t, bucket) {
		if err != nil {
			return err // what was not listed is not gone
		}
		for len(records) > 0 && records[0].key < o.Key {
			if err := out.gone(bucket, records[0]); err != nil {
				return err
			}
			records = records[1:]
		}
		var record *known
		if len(records) > 0 && records[0].key == o.Key {
			record, records = &records[0], records[1:]
		}
		if err := s.object(ctx, t, bucket, o, record, out); err != nil {
			return err
		}
	}
	for _, r := range records {
		if err := out.gone(bucket, r); err != nil {
			return err
		}
	}
	return nil
}

// list streams the objects of a bucket; none for a bucket from which no rule publishes.
func (s *sweeper) list(ctx context.Context, t *tenant.Tenant, bucket string) iter.Seq2[objectstore.Object, error] {
	return func(yield func(objectstore.Object, error) bool) {
		prefix, any := commonPrefix(t, bucket)
		if !any {
			return
		}
		store, err := s.stores.Open(ctx, t, bucket)
		if err != nil {
			yield(objectstore.Object{}, err)
			return
		}
		store.List(ctx, prefix, "")(yield)
	}
}

// object tells what has become of one object that is there.
func (s *sweeper) object(ctx context.Context, t *tenant.Tenant, bucket string, o objectstore.Object, record *known, out *teller) error {
	rule, matches := publishing.Match(t, bucket, o.Key)
	switch {
	case !matches && record == nil:
		return nil
	case !matches:
		return out.gone(bucket, *record)
	}
	terms := publishing.Terms(t, rule, o.Key)
	if record != nil && record.complete && record.etag == o.ETag && record.terms == terms {
		return nil
	}
	created := record == nil || record.withdrawn
	if age := s.now().Sub(o.Modified); age >= 0 && age < s.settle { // a time in the future says nothing of its age
		if s.unsettled != nil {
			s.unsettled(ctx, t.ParticipantContextID, bucket, o, created)
		}
		return nil
	}
	eventType := catalogue.ObjectChanged
	if created {
		eventType = catalogue.ObjectCreated
	}
	return out.found(eventType, bucket, o, terms)
}

// commonPrefix is the longest prefix that all rules of the bucket share, so that no more is listed than needed.
func commonPrefix(t *tenant.Tenant, bucket string) (prefix string, any bool) {
	for _, r := range t.Publish {
		if r.Bucket != bucket {
			continue
		}
		if !any {
			prefix, any = r.Prefix, true
			continue
		}
		for !strings.HasPrefix(r.Prefix, prefix) {
			prefix = prefix[:len(prefix)-1]
		}
	}
	return prefix, any
}

// teller publishes the events of one tenant's sweep, several at a time, up to a limit.
type teller struct {
	ctx     context.Context //nolint:containedctx // the teller lives for one call of sweepTenant, within its context
	pc      string
	publish publish
	group   *errgroup.Group
	left    int
	sent    atomic.Int64
}

func (s *sweeper) newTeller(ctx context.Context, t *tenant.Tenant) *teller {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(s.concurrency)
	return &teller{ctx: ctx, pc: t.ParticipantContextID, publish: s.publish, group: group, left: s.maxEvents}
}

func (l *teller) found(eventType, bucket string, o objectstore.Object, terms string) error {
	e, err := found(eventType, l.pc, bucket, o, terms)
	return l.tell(e, err)
}

func (l *teller) gone(bucket string, r known) error {
	e, err := gone(l.pc, bucket, r.key, r.etag+" "+r.causedBy)
	return l.tell(e, err)
}

func (l *teller) tell(e *event.Event, err error) error {
	if err != nil {
		return err
	}
	if l.left == 0 {
		return errEnough
	}
	l.left--
	if err := l.ctx.Err(); err != nil {
		return err
	}
	l.group.Go(func() error {
		err := l.publish(l.ctx, e)
		if problem.Is(err, problem.Unprocessable) { // this one alone; the others may pass
			zerolog.Ctx(l.ctx).Error().Err(err).Str("participant_context_id", l.pc).Str("subject", e.Subject()).Msg("the broker refuses an event for good")
			return nil
		}
		if err == nil {
			l.sent.Add(1)
		}
		return err
	})
	return nil
}

func (l *teller) wait() error { return l.group.Wait() }
