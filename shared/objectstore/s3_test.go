package objectstore_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/tidegate/tidegate/shared/objectstore"
	"github.com/tidegate/tidegate/shared/objectstore/objectstoretest"
	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/tenant"
)

func openBucket(tb testing.TB, b tenant.Bucket) objectstore.Store {
	tb.Helper()
	s, err := objectstore.Open(tb.Context(), b)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s
}

func TestS3StoreKeepsTheContract(t *testing.T) {
	server := objectstoretest.StartS3(t)
	n := 0
	objectstoretest.Run(t, func(t *testing.T) (objectstore.Store, func(*testing.T) objectstore.Store) {
		t.Helper()
		n++
		b := server.Bucket(t, fmt.Sprintf("contract-%d", n))
		return openBucket(t, b), func(t *testing.T) objectstore.Store { t.Helper(); return openBucket(t, b) }
	})
}

func TestS3OpenSaysWhatIsWrong(t *testing.T) {
	server := objectstoretest.StartS3(t)
	b := server.Bucket(t, "there")
	dir := t.TempDir()
	credentials := func(name, content string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	tests := []struct {
		name, url, credentials string
		kind                   problem.Kind
		want                   string
	}{
		{"a bucket that is not there", server.URL("nowhere"), server.CredentialsFile, problem.Unavailable, "nowhere"},
		{"wrong secret", b.URL, credentials("wrong", "accessKey=tidegate-access\nsecretKey=other-other\n"), problem.Unavailable, "there"},
		{"no credentials file", b.URL, filepath.Join(dir, "none"), problem.Invalid, "credentialsFile"},
		{"half a credentials file", b.URL, credentials("half", "# key\naccessKey=a\n"), problem.Invalid, "secretKey=…"},
		{"another kind of file", b.URL, credentials("other", "accessKey=a\n[hidden-secret]\n"), problem.Invalid, "other:2"},
		{"no region and no endpoint", "s3://there", server.CredentialsFile, problem.Invalid, "region"},
		{"nobody listens", "s3://there?endpoint=http://127.0.0.1:1&s3ForcePathStyle=true", server.CredentialsFile, problem.Unavailable, "there"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := objectstore.Open(t.Context(), tenant.Bucket{Name: "b", URL: tt.url, CredentialsFile: tt.credentials})
			if !problem.Is(err, tt.kind) || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "hidden-secret") {
				t.Errorf("Open: %v, want kind %v naming %q", err, tt.kind, tt.want)
			}
		})
	}
}

func TestS3ObjectsOfOtherTools(t *testing.T) {
	server := objectstoretest.StartS3(t)
	b := server.Bucket(t, "others")
	for _, key := range []string{"folder/", "folder/file.csv", ".tidegate/left.json"} {
		if _, err := server.Client.PutObject(t.Context(), &s3.PutObjectInput{
			Bucket: aws.String("others"), Key: aws.String(key), Body: bytes.NewReader(nil), ContentType: aws.String("text/csv"),
		}); err != nil {
			t.Fatal(err)
		}
	}
	s := openBucket(t, b)
	if got := keys(t, s); len(got) != 1 || got[0] != "folder/file.csv" {
		t.Errorf("List shows %q, want folder/file.csv only", got)
	}
	if o, err := s.Head(t.Context(), "folder/file.csv"); err != nil || o.ContentType != "text/csv" || o.Size != 0 {
		t.Errorf("Head: %+v, %v", o, err)
	}
}

func TestS3KeepsTheContentType(t *testing.T) {
	server := objectstoretest.StartS3(t)
	s := openBucket(t, server.Bucket(t, "types"))
	big := bytes.Repeat([]byte("x"), 9<<20)
	for contentType, want := range map[string]string{"text/x-test": "text/x-test", "": "text/csv"} {
		for _, content := range [][]byte{[]byte("small"), big} {
			u, err := s.Upload(t.Context(), "k.csv", "id", contentType, nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := u.ReadFrom(t.Context(), bytes.NewReader(content)); err != nil {
				t.Fatal(err)
			}
			if o, err := u.Commit(t.Context()); err != nil || o.ContentType != want {
				t.Errorf("%d bytes of type %q have type %q, %v", len(content), contentType, o.ContentType, err)
			}
		}
	}
}

func TestS3ListReadsPageByPage(t *testing.T) {
	server := objectstoretest.StartS3(t)
	s := openBucket(t, server.Bucket(t, "pages"))
	const n = 1050 // a page has 1000
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			for i := worker; i < n; i += 8 {
				if _, err := s.Put(t.Context(), fmt.Sprintf("k%05d", i), "", newReader("")); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if got := keys(t, s); len(got) != n || got[n-1] != fmt.Sprintf("k%05d", n-1) {
		t.Errorf("List shows %d objects, want %d", len(got), n)
	}
}

func uploadsUnderWay(t *testing.T, server *objectstoretest.S3, bucket string) int {
	t.Helper()
	out, err := server.Client.ListMultipartUploads(t.Context(), &s3.ListMultipartUploadsInput{Bucket: &bucket})
	if err != nil {
		t.Fatal(err)
	}
	return len(out.Uploads)
}

func TestS3LeavesNoPartsBehind(t *testing.T) {
	server := objectstoretest.StartS3(t)
	s := openBucket(t, server.Bucket(t, "clean"))
	big := bytes.Repeat([]byte("x"), 17<<20)
	u, err := s.Upload(t.Context(), "k", "id", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := u.ReadFrom(t.Context(), bytes.NewReader(big)); err != nil {
		t.Fatal(err)
	}
	if n := uploadsUnderWay(t, server, "clean"); n != 1 {
		t.Errorf("%d uploads under way, want 1", n)
	}
	if err := u.Reset(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := uploadsUnderWay(t, server, "clean"); n != 0 {
		t.Errorf("%d uploads under way after Reset", n)
	}
	if _, err := u.ReadFrom(t.Context(), bytes.NewReader(big)); err != nil {
		t.Fatal(err)
	}
	if err := u.Close(); err != nil {
		t.Fatal(err)
	}
	// The same id for another key: what was stored for the first one is dropped.
	u, err = s.Upload(t.Context(), "other", "id", "", nil)
	if err != nil || u.Offset() != 0 {
		t.Fatalf("Upload: %v", err)
	}
	if n := uploadsUnderWay(t, server, "clean"); n != 0 {
		t.Errorf("%d uploads under way for the first key", n)
	}
	if _, err := u.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	out, err := server.Client.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: aws.String("clean")})
	if err != nil || len(out.Contents) != 1 {
		t.Errorf("the bucket holds %d objects, %v, want the one", len(out.Contents), err)
	}
}

// A part that does not arrive takes the upload back to the one before, with the right digest, and it goes on from there.
func TestS3UploadFallsBackToTheLastPartThatArrived(t *testing.T) {
	server := objectstoretest.StartS3(t)
	server.Bucket(t, "flaky")
	target, err := url.Parse(server.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	var refuse atomic.Bool
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Host = r.In.Host // is signed
	}}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if refuse.Load() && r.URL.Query().Get("partNumber") == "2" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	defer front.Close()
	where := (&objectstoretest.S3{Endpoint: front.URL}).URL("flaky")
	s := openBucket(t, tenant.Bucket{URL: where, CredentialsFile: server.CredentialsFile})
	content := make([]byte, 30<<20)
	if _, err := io.ReadFull(&counter{said: 1 << 62}, content); err != nil {
		t.Fatal(err)
	}
	u, err := s.Upload(t.Context(), "k", "id", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	refuse.Store(true)
	if _, err := u.ReadFrom(t.Context(), bytes.NewReader(content)); !problem.Is(err, problem.Unavailable) {
		t.Fatalf("ReadFrom when a part is refused: %v, want Unavailable", err)
	}
	if u.Offset() != 8<<20 || u.SHA256() != sumOfBytes(content[:8<<20]) {
		t.Errorf("fell back to %d with %s", u.Offset(), u.SHA256())
	}
	refuse.Store(false)
	if _, err := u.ReadFrom(t.Context(), bytes.NewReader(content[u.Offset():])); err != nil {
		t.Fatal(err)
	}
	if _, err := u.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := sumOf(t, s, "k"); got != sumOfBytes(content) {
		t.Error("the object is not what was written")
	}
}
