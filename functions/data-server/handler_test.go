package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidegate/tidegate/functions/publishing"
	"github.com/tidegate/tidegate/functions/stores"
	"github.com/tidegate/tidegate/shared/function"
	"github.com/tidegate/tidegate/shared/function/functiontest"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/tenant"
)

type one struct{ *tenant.Tenant }

func (o one) Expect(id string) (*tenant.Tenant, error) { return functiontest.Expect(o.Tenant, id) }

func TestDataRequests(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a b.txt"), []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	ten := &tenant.Tenant{ParticipantContextID: "provider", Buckets: []tenant.Bucket{
		{Name: "outbox", URL: "file://" + dir}, {Name: "lost", URL: "file://" + dir + "/nowhere"},
	}}
	pool := stores.New()
	t.Cleanup(pool.Close)
	store, err := pool.Open(t.Context(), ten, "outbox")
	if err != nil {
		t.Fatal(err)
	}
	object, err := store.Head(t.Context(), "a b.txt")
	if err != nil {
		t.Fatal(err)
	}
	f := functiontest.Start(t, "", "", nil, func(svc *function.Service) {
		svc.Handle("POST "+gatewayapi.PathData, &handler{tenants: one{ten}, stores: pool, timeout: 5 * time.Second, log: svc.Logger()})
	})
	request := func() *gatewayapi.DataRequest {
		return &gatewayapi.DataRequest{ParticipantContextID: "provider", Method: "GET", Dataset: gatewayapi.Dataset{
			ID: publishing.DatasetID("provider", "outbox", "a b.txt"), Bucket: "outbox", Key: "a b.txt",
			Size: 5, SHA256: "5891", StoreETag: object.ETag, ContentType: "text/plain",
		}}
	}
	tests := map[string]struct {
		edit   func(r *gatewayapi.DataRequest)
		status int
	}{
		"a dataset as it was published":    {func(*gatewayapi.DataRequest) {}, 200},
		"its head":                         {func(r *gatewayapi.DataRequest) { r.Method = "HEAD" }, 200},
		"another method":                   {func(r *gatewayapi.DataRequest) { r.Method = "POST" }, 405},
		"a path below the dataset":         {func(r *gatewayapi.DataRequest) { r.Path = "/x" }, 404},
		"an unknown tenant":                {func(r *gatewayapi.DataRequest) { r.ParticipantContextID = "someone" }, 503},
		"another tenant's dataset":         {func(r *gatewayapi.DataRequest) { r.Dataset.ID = publishing.DatasetID("someone", "outbox", "a b.txt") }, 404},
		"a key that is not the dataset's":  {func(r *gatewayapi.DataRequest) { r.Dataset.Key = "../secret" }, 404},
		"a withdrawn dataset":              {func(r *gatewayapi.DataRequest) { r.Dataset.Withdrawn = true }, 404},
		"a newer version in the bucket":    {func(r *gatewayapi.DataRequest) { r.Dataset.StoreETag = "older" }, 503},
		"a bucket that is not there":       {move("lost"), 503},
		"a bucket that is not configured":  {move("none"), 404},
		"an object that has gone":          {rename("gone.txt"), 404},
		"a key that no object can have":    {rename("../../etc/passwd"), 404},
		"a key in the store's own folders": {rename(".tidegate/x"), 404},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := request()
			test.edit(r)
			body, err := json.Marshal(r)
			if err != nil {
				t.Fatal(err)
			}
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, f.URL+gatewayapi.PathData, bytes.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			res := f.Do(t, req)
			defer res.Body.Close()
			if res.StatusCode != test.status {
				t.Fatalf("status %d, want %d", res.StatusCode, test.status)
			}
			switch test.status {
			case 503:
				if res.Header.Get("Retry-After") != "1" {
					t.Errorf("Retry-After is %q", res.Header.Get("Retry-After"))
				}
			case 200:
				var got gatewayapi.DataReference
				if err := json.NewDecoder(res.Body).Decode(&got); err != nil {
					t.Fatal(err)
				}
				want := gatewayapi.DataReference{Bucket: "outbox", Key: "a b.txt", StoreETag: object.ETag, Size: 5, SHA256: "5891", ContentType: "text/plain"}
				if diff := cmp.Diff(want, got); diff != "" || res.Header.Get("Content-Type") != gatewayapi.ReferenceContentType {
					t.Errorf("%s (-want +got):\n%s", res.Header.Get("Content-Type"), diff)
				}
			}
		})
	}
	t.Run("no body", func(t *testing.T) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, f.URL+gatewayapi.PathData, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		if res := f.Do(t, req); res.StatusCode != 400 {
			t.Errorf("status %d, want 400", res.StatusCode)
		}
	})
}

func move(bucket string) func(r *gatewayapi.DataRequest) {
	return func(r *gatewayapi.DataRequest) {
		r.Dataset.Bucket = bucket
		r.Dataset.ID = publishing.DatasetID(r.ParticipantContextID, bucket, r.Dataset.Key)
	}
}

func rename(key string) func(r *gatewayapi.DataRequest) {
	return func(r *gatewayapi.DataRequest) {
		r.Dataset.Key = key
		r.Dataset.ID = publishing.DatasetID(r.ParticipantContextID, r.Dataset.Bucket, key)
	}
}
