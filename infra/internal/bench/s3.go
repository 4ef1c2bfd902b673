package bench

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/tidegate/tidegate/infra/internal/supervisor"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/objectstore"
	"github.com/tidegate/tidegate/shared/tenant"
)

// s3Bucket is the name of the bucket, which is a folder of the S3 server.
const s3Bucket = "objects"

// startS3 starts an S3 server (VERSITYGW, as the Makefile sets it) and says how a tenant's document names its bucket; false if there
// is no such program.
func startS3(ctx context.Context, ps *processes, dir string) (_ tenant.Bucket, found bool, err error) {
	bin := os.Getenv("VERSITYGW")
	if _, err := os.Stat(bin); bin == "" || err != nil {
		return tenant.Bucket{}, false, nil
	}
	for _, d := range []string{"sidecar", "data/" + s3Bucket} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o750); err != nil {
			return tenant.Bucket{}, false, fmt.Errorf("S3 server: %w", err)
		}
	}
	const access, secret = "benchaccess", "of-a-server-that-lives-for-a-minute"
	credentials := filepath.Join(dir, "credentials")
	if err := os.WriteFile(credentials, []byte("accessKey="+access+"\nsecretKey="+secret+"\n"), 0o600); err != nil {
		return tenant.Bucket{}, false, fmt.Errorf("S3 server: %w", err)
	}
	addrs, err := freeAddrs(1)
	if err != nil {
		return tenant.Bucket{}, false, err
	}
	if _, err := ps.start(supervisor.Program{
		Name: "versitygw", Path: bin, Env: baseEnv(), Log: filepath.Join(dir, "log"),
		Args: []string{
			"--port", addrs[0], "--access", access, "--secret", secret, "--quiet",
			"posix", "--sidecar", filepath.Join(dir, "sidecar"), filepath.Join(dir, "data"),
		},
	}); err != nil {
		return tenant.Bucket{}, false, err
	}
	q := url.Values{"region": {"us-east-1"}, "endpoint": {"http://" + addrs[0]}, "s3ForcePathStyle": {"true"}}
	b := tenant.Bucket{Name: "s3", URL: "s3://" + s3Bucket + "?" + q.Encode(), CredentialsFile: credentials}
	return b, true, answersS3(ctx, b)
}

func answersS3(ctx context.Context, b tenant.Bucket) error {
	store, err := objectstore.Open(ctx, b)
	if err != nil {
		return fmt.Errorf("S3 server: %w", err)
	}
	defer func() { _ = store.Close() }() // nothing was written yet
	for deadline := time.Now().Add(readyTime); ; {
		ask, cancel := context.WithTimeout(ctx, time.Second)
		err := first(ask, store)
		cancel()
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			return fmt.Errorf("the S3 server does not answer: %w", err)
		}
		if err := sleep(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
}

func first(ctx context.Context, store objectstore.Store) error {
	for _, err := range store.List(ctx, "", "") {
		return err
	}
	return nil
}

// publishS3 puts a file into the bucket and registers it.
func (w *world) publishS3(ctx context.Context, pc string, b tenant.Bucket, key string, size int64) (*gatewayapi.Dataset, error) {
	file := w.path("to-" + b.Name)
	sum, err := writeFile(file, size)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("file to serve: %w", err)
	}
	defer func() { _ = errors.Join(f.Close(), os.Remove(file)) }() // only read, and removed with the folder at the latest
	store, err := objectstore.Open(ctx, b)
	if err != nil {
		return nil, fmt.Errorf("bucket: %w", err)
	}
	defer func() { _ = store.Close() }() // all was said by Put
	if _, err := store.Put(ctx, key, "application/octet-stream", f); err != nil {
		return nil, fmt.Errorf("bucket: %w", err)
	}
	return w.register(ctx, pc, b, key, sum)
}
