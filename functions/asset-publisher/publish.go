package main

import (
	"context"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/tidegate/tidegate/eventing/catalogue"
	"github.com/tidegate/tidegate/functions/publishing"
	"github.com/tidegate/tidegate/shared/gatewayapi"
)

// publish brings the dataset record and the control plane to what lies in the bucket.
func (j *job) publish(ctx context.Context) (*event.Event, error) {
	terms := publishing.Terms(j.tenant, j.rule, j.object.Key)
	onOffer := j.revision != "" && !j.record.Withdrawn && !j.record.PublishedAt.IsZero() && j.record.Terms == terms
	agrees := j.event.Type() != catalogue.ObjectRemoved && j.story.StoreETag == j.object.ETag

	if onOffer && j.record.StoreETag == j.object.ETag {
		if agrees {
			if j.record.CausedBy == j.event.ID() {
				return j.reply(ctx, catalogue.DatasetPublished)
			}
			return nil, nil
		}
		return nil, j.confirm(ctx)
	}
	seen, err := j.read(ctx)
	if err != nil {
		return nil, err
	}
	if onOffer && j.record.SHA256 == seen.SHA256 { // touched, copied onto itself: the same version
		j.record.StoreETag, j.record.Modified = seen.StoreETag, seen.Modified
		if err := j.save(ctx); err != nil || agrees {
			return nil, err
		}
		return nil, j.confirm(ctx)
	}
	return j.replace(ctx, seen, terms)
}

// confirm makes sure of the objects at the control plane without changing the record.
func (j *job) confirm(ctx context.Context) error {
	if err := j.offer(ctx); err != nil {
		return err
	}
	return j.unchanged(ctx)
}

// replace puts a version on offer. The record comes first, without PublishedAt: from then on the gateway serves this version
// and none other. PublishedAt is set when the control plane has it; until then every delivery goes through all steps.
func (j *job) replace(ctx context.Context, seen gatewayapi.Dataset, terms string) (*event.Event, error) {
	ids := publishing.IDsOf(j.tenant.ParticipantContextID, j.rule)
	before := j.record
	seen.Rule, seen.Terms = j.rule.Name, terms
	seen.AccessPolicyID, seen.ContractPolicyID, seen.ContractDefinition = ids.AccessPolicy, ids.ContractPolicy, ids.ContractDefinition
	seen.Replaces = replaces(before, seen.SHA256)
	if seen != before { // else an earlier delivery came as far as this
		j.record = seen
		if err := j.save(ctx); err != nil {
			return nil, err
		}
	}
	if err := j.offer(ctx); err != nil {
		return nil, err
	}
	if err := j.look(ctx); err != nil {
		return nil, err
	}
	if !j.present || j.object.ETag != seen.StoreETag {
		return nil, busy("the object changed while it was published")
	}
	j.record.PublishedAt, j.record.CausedBy = j.now().UTC().Truncate(time.Millisecond), j.event.ID()
	if err := j.save(ctx); err != nil {
		return nil, err
	}
	return j.reply(ctx, catalogue.DatasetPublished)
}

// replaces is the version that was on offer before the one with the digest.
func replaces(before gatewayapi.Dataset, sha256 string) string {
	switch {
	case before.Withdrawn:
		return ""
	case before.PublishedAt.IsZero() || before.SHA256 == sha256:
		return before.Replaces
	default:
		return before.SHA256
	}
}
