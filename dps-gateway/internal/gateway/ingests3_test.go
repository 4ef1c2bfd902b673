package gateway_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/tidegate/tidegate/dps-gateway/internal/ingest"
	"github.com/tidegate/tidegate/shared/objectstore"
	"github.com/tidegate/tidegate/shared/objectstore/objectstoretest"
)

// TestAPushIntoS3GoesOnAtAPart breaks a push into a bucket of a real S3 server: what is there in whole parts is not sent again.
func TestAPushIntoS3GoesOnAtAPart(t *testing.T) {
	bucket := objectstoretest.StartS3(t).Bucket(t, "inbox")
	w := newWorld(t)
	w.tenant("other", "sinks:\n  - name: in\n    bucket: inbox\n")
	doc, err := os.ReadFile(w.path("tenants/other.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	w.write("tenants/other.yaml", strings.Replace(string(doc), "buckets:\n", fmt.Sprintf("buckets:\n  - name: inbox\n    url: %s\n    credentialsFile: %s\n", bucket.URL, bucket.CredentialsFile), 1))
	r := w.start(nil)
	const size, broken, part = 24 << 20, 20 << 20, 8 << 20
	content, sum := random(t, size)
	g := r.preparePush("other", "big.bin", "")
	req := r.request(http.MethodPut, g, "Repr-Digest", ingest.ReprDigest(sum), "Content-Type", "text/csv")
	pr, pw := io.Pipe()
	req.Body, req.ContentLength = pr, size
	done := make(chan struct{})
	go func() {
		defer close(done)
		res, err := r.hc.Do(req)
		if err == nil {
			res.Body.Close()
		}
	}()
	if _, err := pw.Write(content[:broken]); err != nil {
		t.Fatal(err)
	}
	_ = pw.CloseWithError(errors.New("the pusher dies"))
	<-done
	var offset int
	within(t, "whole parts are there", func() bool {
		a := r.push(http.MethodHead, g, bytes.NewReader(nil))
		_, err := fmt.Sscan(a.header.Get("Upload-Offset"), &offset)
		return a.code == http.StatusOK && err == nil && offset > 0
	})
	t.Logf("%d bytes of %d are there", offset, broken)
	if offset < broken-2*part {
		t.Errorf("a break costs more than the part that was sent and the one that was read: %d of %d are there", offset, broken)
	}
	for i, code := range []int{http.StatusCreated, http.StatusOK} {
		a := r.push(http.MethodPut, g, bytes.NewReader(content[offset:]), "Content-Range", fmt.Sprintf("bytes %d-%d/%d", offset, size-1, size), "Repr-Digest", ingest.ReprDigest(sum))
		if a.code != code {
			t.Fatalf("the rest, time %d: %d %s", i, a.code, a.body)
		}
	}
	store, err := objectstore.Open(t.Context(), bucket)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	body, o, err := store.Open(t.Context(), "big.bin", "", 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if got, err := io.ReadAll(body); err != nil || !bytes.Equal(got, content) || o.ContentType != "text/csv" {
		t.Errorf("stored %d bytes of type %q, %v", len(got), o.ContentType, err)
	}
}
