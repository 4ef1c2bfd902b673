package main

import (
	"context"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/tidegate/tidegate/eventing/catalogue"
	"github.com/tidegate/tidegate/shared/objectstore"
	"github.com/tidegate/tidegate/shared/tenant"
)

const name = "bucket-events"

// tenants finds the tenants in force; *tenant.Registry does.
type tenants interface {
	Get(participantContextID string) (*tenant.Tenant, bool)
	All() []*tenant.Tenant
}

// publish hands an event to the broker; function.Service's Publish does.
type publish func(ctx context.Context, e *event.Event) error

// found makes the event of an object that is there. Its id is made of the object's version, so whoever finds the same
// version, by whatever way, tells the same event.
func found(eventType, pc, bucket string, o objectstore.Object, terms string) (*event.Event, error) {
	return catalogue.New(name, pc, eventType, bucket+"/"+o.Key, catalogue.Object{
		Bucket: bucket, Key: o.Key, Size: o.Size, StoreETag: o.ETag, ContentType: o.ContentType, Modified: o.Modified.UTC(),
	}, o.ETag, terms)
}

// gone makes the event of an object that is not there any more. which tells this removal from others of the same key.
func gone(pc, bucket, key, which string) (*event.Event, error) {
	return catalogue.New(name, pc, catalogue.ObjectRemoved, bucket+"/"+key, catalogue.Object{Bucket: bucket, Key: key}, which)
}
