package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"time"

	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/objectstore"
	"github.com/tidegate/tidegate/shared/problem"
)

// sniffed is how much of an object http.DetectContentType looks at, in bytes.
const sniffed = 512

const octets = "application/octet-stream"

// read returns the dataset record of the object as it lies in the bucket: it reads the object once and takes its digest. If
// the record has the digest of these very bytes already, nothing is read. An object that changes under the reader is a
// passing failure: the event comes again, and by then so does the event of the change.
func (j *job) read(ctx context.Context) (gatewayapi.Dataset, error) {
	o := j.object
	d := gatewayapi.Dataset{
		ID: j.record.ID, Bucket: j.record.Bucket, Key: j.record.Key,
		Size: o.Size, StoreETag: o.ETag, Modified: o.Modified.UTC().Truncate(time.Millisecond),
	}
	if j.record.StoreETag == o.ETag && j.record.Size == o.Size && j.record.SHA256 != "" {
		d.SHA256, d.ContentType = j.record.SHA256, j.record.ContentType
		return d, nil
	}
	body, opened, err := j.store.Open(ctx, o.Key, o.ETag, 0, -1)
	if problem.Is(err, problem.Stale) || problem.Is(err, problem.NotFound) || (err == nil && opened.ETag != o.ETag) {
		if err == nil {
			_ = body.Close() // it is not read
		}
		return d, busy("the object changed before it could be read")
	}
	if err != nil {
		return d, err
	}
	defer func() { _ = body.Close() }() // it was only read

	hash, head := sha256.New(), &prefix{}
	n, err := io.Copy(io.MultiWriter(hash, head), body)
	if err != nil {
		return d, problem.Wrap(problem.Unavailable, err, "the object can't be read to its end")
	}
	after, err := j.store.Head(ctx, o.Key)
	if err != nil && !problem.Is(err, problem.NotFound) {
		return d, err
	}
	if err != nil || after.ETag != o.ETag || after.Size != o.Size || n != o.Size {
		return d, busy("the object changed while it was read")
	}
	d.SHA256 = hex.EncodeToString(hash.Sum(nil))
	d.ContentType = contentType(o.Key, o.ContentType, head.bytes)
	return d, nil
}

// prefix keeps the first bytes written to it.
type prefix struct{ bytes []byte }

func (p *prefix) Write(b []byte) (int, error) {
	if room := sniffed - len(p.bytes); room > 0 {
		p.bytes = append(p.bytes, b[:min(room, len(b))]...)
	}
	return len(b), nil
}

// contentType is the store's own word unless that is one of the defaults that stores give, then the name's extension, then
// what the first bytes look like.
func contentType(key, stored string, head []byte) string {
	switch stored {
	case "", octets, "binary/octet-stream", "application/x-www-form-urlencoded":
	default:
		return stored
	}
	if t := objectstore.ContentType(key); t != octets {
		return t
	}
	return http.DetectContentType(head)
}
