package main

import (
	"context"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/tidegate/tidegate/eventing/catalogue"
)

// withdraw takes the offer of an object away that has gone, or that no rule publishes any more. The record comes first: it
// makes the gateway cut open streams. A withdrawn record that still has PublishedAt is one whose asset may be there yet.
func (j *job) withdraw(ctx context.Context) (*event.Event, error) {
	if j.revision == "" {
		return nil, nil // never published: the record is always written before the asset
	}
	done := j.record.Withdrawn && j.record.PublishedAt.IsZero()
	if !j.record.Withdrawn {
		j.record.Withdrawn = true
		if j.record.PublishedAt.IsZero() { // its publication was cut short and may have reached the control plane
			j.record.PublishedAt = j.now().UTC().Truncate(time.Millisecond)
		}
		if err := j.save(ctx); err != nil {
			return nil, err
		}
	}
	// Even if the record says that the asset is gone: an invocation that lost a race may have written it again.
	cp, err := j.controlPlane(j.tenant)
	if err != nil {
		return nil, err
	}
	if err := withdrawAsset(ctx, cp, j.record.ID); err != nil {
		return nil, err
	}
	if err := j.look(ctx); err != nil {
		return nil, err
	}
	if j.present {
		return nil, busy("the object came back while it was withdrawn")
	}
	if done {
		if err := j.unchanged(ctx); err != nil {
			return nil, err
		}
		if j.record.CausedBy == j.event.ID() {
			return j.reply(ctx, catalogue.DatasetWithdrawn)
		}
		return nil, nil
	}
	j.record.PublishedAt, j.record.CausedBy = time.Time{}, j.event.ID()
	if err := j.save(ctx); err != nil {
		return nil, err
	}
	return j.reply(ctx, catalogue.DatasetWithdrawn)
}
