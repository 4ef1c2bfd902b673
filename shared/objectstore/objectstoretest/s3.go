package objectstoretest

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/tidegate/tidegate/shared/loopback"
	"github.com/tidegate/tidegate/shared/tenant"
)

const (
	accessKey = "tidegate-access"
	secretKey = "tidegate-secret-key"
	startTime = 20 * time.Second
)

// S3 is a running S3 server, versitygw on a folder.
type S3 struct {
	Endpoint        string
	CredentialsFile string
	Client          *s3.Client // for what a test must see or do beside the store
}

// StartS3 starts versitygw on a free loopback port until the test ends. The binary is $VERSITYGW, or .bin/versitygw in the root of
// the workspace; the test fails if it is not there.
func StartS3(tb testing.TB) *S3 {
	tb.Helper()
	binary := findBinary(tb)
	dir := tb.TempDir()
	for _, name := range []string{"data", "sidecar"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			tb.Fatal(err)
		}
	}
	address, err := loopback.Addr()
	if err != nil {
		tb.Fatal(err)
	}
	// Attributes in a folder beside the data: the file system of a temporary folder may have none.
	cmd := exec.Command(binary, "--port", address, "--access", accessKey, "--secret", secretKey, "--quiet", //nolint:gosec,noctx // a tool of the workspace, ended below
		"posix", "--sidecar", filepath.Join(dir, "sidecar"), filepath.Join(dir, "data"))
	var out lockedBuffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		tb.Fatalf("starting %s: %v", binary, err)
	}
	tb.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // was killed
		if tb.Failed() {
			tb.Logf("versitygw said:\n%s", out.String())
		}
	})
	s := &S3{Endpoint: "http://" + address, CredentialsFile: filepath.Join(dir, "credentials")}
	if err := os.WriteFile(s.CredentialsFile, []byte("accessKey="+accessKey+"\nsecretKey="+secretKey+"\n"), 0o600); err != nil {
		tb.Fatal(err)
	}
	s.Client = s3.New(s3.Options{
		Region: "us-east-1", BaseEndpoint: aws.String(s.Endpoint), UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider(accessKey, secretKey, ""),
		HTTPClient:  &http.Client{Transport: &http.Transport{DisableKeepAlives: true}},
	})
	waitForTCP(tb, address)
	return s
}

// Bucket makes a bucket and returns how a tenant's document names it.
func (s *S3) Bucket(tb testing.TB, name string) tenant.Bucket {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), startTime)
	defer cancel()
	if _, err := s.Client.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: &name}); err != nil {
		tb.Fatalf("making the bucket %s: %v", name, err)
	}
	return tenant.Bucket{Name: name, URL: s.URL(name), CredentialsFile: s.CredentialsFile}
}

// URL is the URL of a bucket.
func (s *S3) URL(bucket string) string {
	q := url.Values{"region": {"us-east-1"}, "endpoint": {s.Endpoint}, "s3ForcePathStyle": {"true"}}
	return fmt.Sprintf("s3://%s?%s", bucket, q.Encode())
}

func findBinary(tb testing.TB) string {
	tb.Helper()
	if b := os.Getenv("VERSITYGW"); b != "" {
		return b
	}
	dir, err := os.Getwd()
	if err != nil {
		tb.Fatal(err)
	}
	for {
		if b := filepath.Join(dir, ".bin", "versitygw"); isFile(b) {
			return b
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			tb.Fatal("versitygw is missing: `make tools` installs it into .bin, or set VERSITYGW")
		}
		dir = parent
	}
}

func isFile(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.Mode().IsRegular()
}

func waitForTCP(tb testing.TB, address string) {
	tb.Helper()
	deadline := time.Now().Add(startTime)
	for time.Now().Before(deadline) {
		d := net.Dialer{Timeout: time.Second}
		c, err := d.DialContext(tb.Context(), "tcp", address)
		if err == nil {
			_ = c.Close()
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	tb.Fatalf("versitygw does not listen on %s", address)
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
