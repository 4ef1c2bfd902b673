package main

import (
	"context"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/eventing/catalogue"
	"github.com/tidegate/tidegate/functions/publishing"
	"github.com/tidegate/tidegate/functions/stores"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/objectstore"
	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/tenant"
)

const name = "asset-publisher"

// again is how long a redelivery should wait when another invocation, or the bucket's owner, is at work on the object.
const again = time.Second

// tenants finds a tenant in force; *tenant.Registry does.
type tenants interface {
	Expect(participantContextID string) (*tenant.Tenant, error)
}

// handler makes what the control plane offers equal to what lies in the bucket, for one object at a time.
//
// It never acts on what an event tells, only on what the bucket, the tenant's document and the dataset record say now. So:
//
//   - The same event twice: the second finds the record up to date and answers nothing. Only the repetition of the very event
//     that brought the state about gets the same reply again, since the first reply may have been lost.
//   - Late or out of order: a "created" for an object that has gone withdraws, a "removed" for one that is there publishes.
//     If the event tells another story than the bucket does, the record is not trusted either: the objects at the control
//     plane are checked one by one, because an invocation that lost a race may have written them last.
//   - Two at once, or a crash at any point: each writes the record by compare-and-set before it goes to the control plane and
//     after it, and the loser is delivered again. What is written to the control plane has ids made from the object's name.
type handler struct {
	tenants      tenants
	stores       *stores.Pool
	gateway      *gatewayapi.Client
	controlPlane func(*tenant.Tenant) (controlPlane, error)
	now          func() time.Time
}

// job is one event's object, with everything known of it.
type job struct {
	*handler
	event   *event.Event
	tenant  *tenant.Tenant
	story   catalogue.Object // what the event tells
	rule    tenant.PublishRule
	store   objectstore.Store
	object  objectstore.Object // what the bucket says
	present bool               // the object is there and a rule publishes it

	record   gatewayapi.Dataset // what is published
	revision string             // of the record; "" if there is none
}

// Handle handles object.created, object.changed and object.removed.
func (h *handler) Handle(ctx context.Context, e *event.Event) (*event.Event, error) {
	j, err := h.open(ctx, e)
	if err != nil {
		return nil, err
	}
	if j.present {
		return j.publish(ctx)
	}
	return j.withdraw(ctx)
}

func (h *handler) open(ctx context.Context, e *event.Event) (*job, error) {
	pc, err := catalogue.ParticipantContextID(e)
	if err != nil {
		return nil, err
	}
	story, err := catalogue.Data[catalogue.Object](e)
	if err != nil {
		return nil, err
	}
	if story.Bucket == "" || story.Key == "" {
		return nil, problem.Field("data", "names no object: bucket and key are required")
	}
	t, err := h.tenants.Expect(pc)
	if err != nil {
		return nil, err
	}
	j := &job{handler: h, event: e, tenant: t, story: story}
	id := publishing.DatasetID(pc, story.Bucket, story.Key)
	j.revision, err = h.gateway.Get(ctx, pc, gatewayapi.KindDataset, id, &j.record)
	if err != nil && !problem.Is(err, problem.NotFound) {
		return nil, err
	}
	if err != nil {
		j.record = gatewayapi.Dataset{ID: id, Bucket: story.Bucket, Key: story.Key}
	}
	return j, j.look(ctx)
}

// look finds out whether the object is there and to be published.
func (j *job) look(ctx context.Context) error {
	j.present = false
	rule, ok := publishing.Match(j.tenant, j.story.Bucket, j.story.Key)
	if !ok {
		return nil
	}
	store, err := j.stores.Open(ctx, j.tenant, j.story.Bucket)
	if err != nil {
		return err
	}
	object, err := store.Head(ctx, j.story.Key)
	if problem.Is(err, problem.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	j.rule, j.store, j.object, j.present = rule, store, object, true
	return nil
}

// save writes the record if it is still the one that was read.
func (j *job) save(ctx context.Context) error {
	cond := gatewayapi.IfAbsent()
	if j.revision != "" {
		cond = gatewayapi.IfRevision(j.revision)
	}
	rev, err := j.gateway.Put(ctx, j.tenant.ParticipantContextID, gatewayapi.KindDataset, j.record.ID, j.record, cond)
	if problem.Is(err, problem.Stale) {
		return busy("another invocation is at work on this object")
	}
	if err != nil {
		return err
	}
	j.revision = rev
	return nil
}

// unchanged fails if the record has been written by another invocation meanwhile.
func (j *job) unchanged(ctx context.Context) error {
	var now gatewayapi.Dataset
	rev, err := j.gateway.Get(ctx, j.tenant.ParticipantContextID, gatewayapi.KindDataset, j.record.ID, &now)
	if err != nil {
		return err
	}
	if rev != j.revision {
		return busy("another invocation is at work on this object")
	}
	return nil
}

func (j *job) reply(ctx context.Context, eventType string) (*event.Event, error) {
	zerolog.Ctx(ctx).Info().Str("dataset_id", j.record.ID).Str("bucket", j.record.Bucket).Str("key", j.record.Key).Int64("size", j.record.Size).Str("sha256", j.record.SHA256).Msg(eventType)
	r := j.record
	return catalogue.New(name, j.tenant.ParticipantContextID, eventType, r.ID, catalogue.Dataset{
		DatasetID: r.ID, Bucket: r.Bucket, Key: r.Key, Rule: r.Rule, Size: r.Size, SHA256: r.SHA256,
		Replaced: eventType == catalogue.DatasetPublished && r.Replaces != "" && r.Replaces != r.SHA256,
	}, r.CausedBy, r.SHA256, r.StoreETag)
}

// busy is a passing failure: the event is delivered again and then finds another truth.
func busy(message string) error {
	err := problem.New(problem.Unavailable, "%s", message)
	err.RetryAfter = again
	return err
}
