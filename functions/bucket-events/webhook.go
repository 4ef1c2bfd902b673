package main

import (
	"context"
	"net/http"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"github.com/tidegate/tidegate/eventing/catalogue"
	"github.com/tidegate/tidegate/functions/publishing"
	"github.com/tidegate/tidegate/functions/stores"
	"github.com/tidegate/tidegate/shared/auth"
	"github.com/tidegate/tidegate/shared/objectstore"
	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/tenant"
)

// pathNotifications is where storage providers send what happened in a bucket. bucket is the name in the tenant's document;
// the provider's own name of it, in the body, does not matter.
const pathNotifications = "/notifications/{participantContextId}/{bucket}"

// webhook takes notifications of storage providers in the form of S3 (AWS, MinIO, versitygw). A notification is a hint: the
// event tells what a HEAD says now. So the same notification twice gives the same event twice, a late or reordered one gives
// the event of the newest state, and one that is lost is made up for by the sweep.
//
// Any failure that may pass is answered 503, which makes those providers that can send again.
type webhook struct {
	tenants     tenants
	stores      *stores.Pool
	publish     publish
	secret      *auth.SharedSecret
	keys        spelling // unless the request says ?keys=
	maxBytes    int64
	timeout     time.Duration
	concurrency int
	log         *zerolog.Logger
}

func (h *webhook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := h.serve(r); err != nil {
		problem.Write(w, h.log, problem.Status(err), err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (h *webhook) serve(r *http.Request) error {
	if !h.authentic(r) {
		return problem.New(problem.Unauthenticated, "no valid secret: expected Authorization: Bearer, or the parameter key")
	}
	keys := h.keys
	if q := r.URL.Query().Get("keys"); q != "" {
		if keys = spelling(q); !keys.valid() {
			return problem.Field("keys", "%q is no spelling of keys: expected form or raw", q)
		}
	}
	t, ok := h.tenants.Get(r.PathValue("participantContextId"))
	if !ok {
		return problem.New(problem.NotFound, "no such participant context")
	}
	bucket := r.PathValue("bucket")
	if _, ok := t.Bucket(bucket); !ok {
		return problem.New(problem.NotFound, "no such bucket")
	}
	body, err := readBody(r.Body, h.maxBytes)
	if err != nil {
		return err
	}
	records, err := decodeNotification(body, keys)
	if err != nil {
		return err
	}
	// A provider that no longer waits has still told what happened: many wait a few seconds only, while a broker in memory answers after its
	// subscribers have, cold starts included.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), h.timeout)
	defer cancel()
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(h.concurrency)
	for _, rec := range records {
		group.Go(func() error { return h.tell(ctx, t, bucket, rec) })
	}
	return group.Wait()
}

// authentic checks the secret. Senders that can't set a header (versitygw, SNS) give it as the parameter key.
func (h *webhook) authentic(r *http.Request) bool {
	if token, ok := auth.Bearer(r.Header); ok {
		return h.secret.Check(token)
	}
	key := r.URL.Query().Get("key")
	return key != "" && h.secret.Check(key)
}

func (h *webhook) tell(ctx context.Context, t *tenant.Tenant, bucket string, rec record) error {
	rule, ok := publishing.Match(t, bucket, rec.Key)
	if !ok {
		return nil
	}
	store, err := h.stores.Open(ctx, t, bucket)
	if err != nil {
		return err
	}
	object, err := store.Head(ctx, rec.Key)
	if problem.Is(err, problem.NotFound) {
		e, err := gone(t.ParticipantContextID, bucket, rec.Key, rec.Which)
		if err != nil {
			return err
		}
		return h.publish(ctx, e)
	}
	if err != nil {
		return err
	}
	return h.found(ctx, t, rule, bucket, object)
}

func (h *webhook) found(ctx context.Context, t *tenant.Tenant, rule tenant.PublishRule, bucket string, object objectstore.Object) error {
	e, err := found(catalogue.ObjectCreated, t.ParticipantContextID, bucket, object, publishing.Terms(t, rule, object.Key))
	if err != nil {
		return err
	}
	return h.publish(ctx, e)
}
