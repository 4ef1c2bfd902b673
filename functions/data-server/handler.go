package main

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/functions/publishing"
	"github.com/tidegate/tidegate/functions/stores"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/tenant"
)

// maxRequest bounds a data request: a dataset record and a few header fields. In bytes.
const maxRequest = 256 << 10

// tenants finds a tenant in force; *tenant.Registry does.
type tenants interface {
	Expect(participantContextID string) (*tenant.Tenant, error)
}

// handler answers POST /data for datasets that are objects, by reference. It only looks, so the same request twice, late or
// beside another is answered each time by what the bucket holds then: 404 once the object has gone, and 503 as long as the
// bucket holds a newer version than the one that is on offer, because asset-publisher is on its way.
type handler struct {
	tenants tenants
	stores  *stores.Pool
	timeout time.Duration
	log     *zerolog.Logger
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), h.timeout)
	defer cancel()
	var req gatewayapi.DataRequest
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxRequest)).Decode(&req); err != nil {
		err := problem.Wrap(problem.Invalid, err, "the body is no data request")
		problem.Write(w, h.log, problem.Status(err), err)
		return
	}
	if req.Method != http.MethodGet && req.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		problem.Write(w, h.log, http.StatusMethodNotAllowed, problem.New(problem.Invalid, "a dataset is read by GET or HEAD"))
		return
	}
	reference, err := h.refer(ctx, &req)
	if err != nil {
		problem.Write(w, h.log, problem.Status(err), err)
		return
	}
	body, err := json.Marshal(reference)
	if err != nil { // strings and integers only: cannot happen
		problem.Write(w, h.log, http.StatusInternalServerError, err)
		return
	}
	w.Header().Set("Content-Type", gatewayapi.ReferenceContentType)
	_, _ = w.Write(body) // the gateway is gone: nobody is left to tell
}

// notFound is the one answer for what is not there and for what is not the caller's.
func notFound() error { return problem.New(problem.NotFound, "no such dataset") }

func (h *handler) refer(ctx context.Context, req *gatewayapi.DataRequest) (*gatewayapi.DataReference, error) {
	t, err := h.tenants.Expect(req.ParticipantContextID)
	if problem.Is(err, problem.NotFound) {
		return nil, notFound()
	}
	if err != nil {
		return nil, err
	}
	d := req.Dataset
	// The id is made of tenant, bucket and key: a record that came from elsewhere does not have it.
	if d.ID == "" || d.ID != publishing.DatasetID(t.ParticipantContextID, d.Bucket, d.Key) || d.Withdrawn {
		return nil, notFound()
	}
	if req.Path != "" && req.Path != "/" {
		return nil, problem.New(problem.NotFound, "the dataset is one object: nothing lies below it")
	}
	store, err := h.stores.Open(ctx, t, d.Bucket)
	if err != nil {
		return nil, hide(err)
	}
	object, err := store.Head(ctx, d.Key)
	if err != nil {
		return nil, hide(err)
	}
	if object.ETag != d.StoreETag || object.Size != d.Size {
		err := problem.New(problem.Unavailable, "a newer version of the dataset is being published")
		err.RetryAfter = time.Second
		return nil, err
	}
	return &gatewayapi.DataReference{
		Bucket: d.Bucket, Key: d.Key, StoreETag: d.StoreETag, Size: d.Size, SHA256: d.SHA256, ContentType: d.ContentType,
	}, nil
}

// hide keeps the tenant's buckets and keys out of an answer that may reach the counterparty.
func hide(err error) error {
	switch problem.KindOf(err) {
	case problem.NotFound, problem.Invalid:
		return notFound()
	default:
		return problem.Wrap(problem.Unavailable, err, "the dataset's back end can't be reached")
	}
}
