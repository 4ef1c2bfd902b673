package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/problem"
)

// sniffed is how much of an object http.DetectContentType looks at, in bytes.
const sniffed = 512

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

// types are the media types of names that data spaces trade in. A table of our own: the one of package mime depends on the
// machine, and a dataset must look the same wherever it is published.
var types = map[string]string{
	".csv": "text/csv", ".tsv": "text/tab-separated-values", ".txt": "text/plain; charset=utf-8", ".log": "text/plain; charset=utf-8",
	".md": "text/markdown", ".html": "text/html; charset=utf-8", ".xml": "application/xml", ".json": "application/json",
	".jsonl": "application/jsonl", ".ndjson": "application/x-ndjson", ".geojson": "application/geo+json", ".jsonld": "application/ld+json",
	".ttl": "text/turtle", ".rdf": "application/rdf+xml", ".yaml": "application/yaml", ".yml": "application/yaml",
	".pdf": "application/pdf", ".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".gif": "image/gif", ".svg": "image/svg+xml",
	".webp": "image/webp", ".tif": "image/tiff", ".tiff": "image/tiff", ".mp4": "video/mp4", ".mp3": "audio/mpeg", ".wav": "audio/wav",
	".zip": "application/zip", ".gz": "application/gzip", ".tgz": "application/gzip", ".tar": "application/x-tar", ".7z": "application/x-7z-compressed",
	".zst": "application/zstd", ".parquet": "application/vnd.apache.parquet", ".avro": "application/avro", ".bin": "application/octet-stream",
	".xls": "application/vnd.ms-excel", ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
	".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document", ".step": "model/step", ".stp": "model/step", ".stl": "model/stl",
	".aasx": "application/asset-administration-shell-package",
}

// contentType is the store's own word unless that is one of the defaults that stores give, then the name's extension, then
// what the first bytes look like.
func contentType(key, stored string, head []byte) string {
	switch stored {
	case "", "application/octet-stream", "binary/octet-stream", "application/x-www-form-urlencoded":
	default:
		return stored
	}
	if t, ok := types[strings.ToLower(path.Ext(key))]; ok {
		return t
	}
	return http.DetectContentType(head)
}
