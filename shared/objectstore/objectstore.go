package objectstore

import (
	"context"
	"encoding/json"
	"io"
	"iter"
	"net/url"
	"time"

	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/tenant"
)

// Object is what a store knows of an object.
type Object struct {
	Key         string
	Size        int64
	ETag        string // the store's own tag, without quotes: it changes when the content does
	ContentType string // a listing of an S3 bucket does not tell it
	Modified    time.Time
}

// Store is one bucket. Keys use "/" and never leave the bucket. Its errors are of kind NotFound, Stale (a condition does
// not hold), Invalid (a key that is none) or Unavailable.
type Store interface {
	// List returns the objects whose key starts with prefix and is greater than after, in the order of keys.
	List(ctx context.Context, prefix, after string) iter.Seq2[Object, error]
	// Head returns an object's attributes.
	Head(ctx context.Context, key string) (Object, error)
	// Open reads length bytes from offset (length -1 = to the end). If etag is not empty and the object has another one,
	// the error is Stale.
	Open(ctx context.Context, key, etag string, offset, length int64) (io.ReadCloser, Object, error)
	// Put writes an object as a whole: readers see the old one or the new one, never a part.
	Put(ctx context.Context, key, contentType string, r io.Reader) (Object, error)
	// Delete removes an object; one that is not there is no error.
	Delete(ctx context.Context, key string) error
	// Upload opens a resumable upload of key. id names it (the data flow id); state is what State returned earlier, or nil.
	// What an earlier upload of the same id has stored safely is kept: Offset says how much.
	Upload(ctx context.Context, key, id, contentType string, state json.RawMessage) (Upload, error)
	Close() error
}

// Upload is a resumable upload. Its bytes are invisible under the key until Commit.
type Upload interface {
	// Offset is the number of bytes stored safely, from which to go on.
	Offset() int64
	// ReadFrom appends from r until its end, an error or ctx's end, and stores safely what it can. It returns the bytes read.
	ReadFrom(ctx context.Context, r io.Reader) (int64, error)
	// State is what Upload needs to resume after this process is gone.
	State() json.RawMessage
	// SHA256 is the digest of all bytes up to Offset, lower-case hex.
	SHA256() string
	// Reset drops everything stored: the content has changed at its source.
	Reset(ctx context.Context) error
	// Commit makes the object visible under its key at once, durably, and forgets the upload.
	Commit(ctx context.Context) (Object, error)
	// Close lets go of the upload and keeps what is stored, to be resumed.
	Close() error
}

// Open opens a bucket of a tenant's document. A bucket that is not there is an error: nothing is created.
func Open(ctx context.Context, b tenant.Bucket) (Store, error) {
	u, err := url.Parse(b.URL)
	if err != nil {
		return nil, problem.Field("url", "of bucket %q is no URL", b.Name) // the text may hold a secret by mistake: not shown
	}
	switch u.Scheme {
	case "file":
		return openFile(u)
	case "s3":
		return openS3(ctx, u, b.CredentialsFile)
	default:
		return nil, problem.Field("url", "of bucket %q: the scheme %q is not known: expected file or s3", b.Name, u.Scheme)
	}
}
