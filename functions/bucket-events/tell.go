package main

import (
	"context"
	"strconv"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/eventing/catalogue"
	"github.com/tidegate/tidegate/functions/publishing"
	"github.com/tidegate/tidegate/functions/stores"
	"github.com/tidegate/tidegate/shared/problem"
)

// changeTeller turns a change that has settled into an event and sees it to the broker.
type changeTeller struct {
	tenants tenants
	stores  *stores.Pool
	publish publish
	settle  time.Duration
	log     zerolog.Logger
	now     func() time.Time
}

// tell publishes the event of a change, however long the broker is down, until ctx ends. The change comes back: with a zero
// last if there is nothing more to do, else to settle again.
func (c *changeTeller) tell(ctx context.Context, ch change) change {
	e, unsettled, err := c.event(ctx, ch)
	switch {
	case unsettled != nil:
		return *unsettled
	case err != nil && ctx.Err() == nil:
		c.log.Warn().Err(err).Str("participant_context_id", ch.pc).Str("bucket", ch.bucket).Str("key", ch.key).Msg("the bucket can't be read, trying again")
		ch.last = c.now()
		return ch
	}
	for e != nil && ctx.Err() == nil {
		err := c.publish(ctx, e) // waits between its tries
		if err == nil {
			break
		}
		if ctx.Err() == nil {
			c.log.Error().Err(err).Str("participant_context_id", ch.pc).Str("subject", e.Subject()).Msg("the broker does not take an event")
		}
		if !problem.KindOf(err).Temporary() {
			break
		}
	}
	ch.last = time.Time{}
	return ch
}

// event makes the event of a change; none if no rule publishes the object any more. An object that is still being written
// comes back as a change.
func (c *changeTeller) event(ctx context.Context, ch change) (*event.Event, *change, error) {
	t, ok := c.tenants.Get(ch.pc)
	if !ok {
		return nil, nil, nil
	}
	rule, ok := publishing.Match(t, ch.bucket, ch.key)
	if !ok {
		return nil, nil, nil
	}
	store, err := c.stores.Open(ctx, t, ch.bucket)
	if err != nil {
		return nil, nil, err
	}
	object, err := store.Head(ctx, ch.key)
	if problem.Is(err, problem.NotFound) {
		// The removal has no version to make an id of: the moment that it was seen tells it from others.
		e, err := gone(ch.pc, ch.bucket, ch.key, strconv.FormatInt(ch.last.UnixNano(), 10))
		return e, nil, err
	}
	if problem.Is(err, problem.Invalid) { // a name that this kind of store can't have
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	now := c.now()
	if age := now.Sub(object.Modified); object.Size != ch.size || (age >= 0 && age < c.settle) {
		ch.size, ch.last = object.Size, now
		return nil, &ch, nil
	}
	eventType := catalogue.ObjectChanged
	if ch.created {
		eventType = catalogue.ObjectCreated
	}
	e, err := found(eventType, ch.pc, ch.bucket, object, publishing.Terms(t, rule, ch.key))
	return e, nil, err
}
