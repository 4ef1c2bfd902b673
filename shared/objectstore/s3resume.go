package objectstore

import (
	"context"
	"crypto/md5" //nolint:gosec // S3's own way to make the tag of a multipart object; nothing is protected by it
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/tidegate/tidegate/shared/problem"
)

const (
	// staleUpload is the age at which an upload of the same key that is not ours is taken for forgotten.
	staleUpload = 14 * 24 * time.Hour
	maxNote     = 16 << 10
)

// progress is what is kept of an upload: in State, and in the private folder. The parts themselves are asked of the service; Tags makes
// sure that they still are those that the digest speaks of.
type progress struct {
	Key      string `json:"key"`
	UploadID string `json:"uploadId"`
	Parts    int    `json:"parts"`
	Offset   int64  `json:"offset"`
	Digest   []byte `json:"sha256"` // state of the digest at Offset
	Tags     string `json:"tags"`   // digest of the parts' tags
}

func (u *s3Upload) progress(parts []types.CompletedPart, at safePoint) progress {
	return progress{Key: u.key, UploadID: u.uploadID, Parts: len(parts), Offset: at.offset, Digest: at.digest, Tags: tagsOf(parts)}
}

func (s *s3Store) Upload(ctx context.Context, key, id, contentType string, state json.RawMessage) (Upload, error) {
	if err := CheckKey(key); err != nil {
		return nil, err
	}
	if id == "" {
		return nil, problem.Field("id", "is empty: an upload is found again by it")
	}
	h := sha256.Sum256([]byte(id))
	u := &s3Upload{
		store: s, key: key, contentType: contentType, sum: newDigest(),
		note: private + "/" + hex.EncodeToString(h[:16]) + ".json",
	}
	given := parseProgress(state)
	kept, err := s.readNote(ctx, u.note)
	if err != nil {
		return nil, err
	}
	// What is kept in the bucket is of the latest upload of the id, State may be of one that was reset since.
	if kept == nil || given != nil && given.UploadID == kept.UploadID && given.Offset > kept.Offset {
		kept = given
	}
	if kept == nil {
		return u, nil
	}
	return u, u.resume(ctx, kept)
}

// resume takes up an upload, or aborts it if it can't go on.
func (u *s3Upload) resume(ctx context.Context, p *progress) error {
	sum, err := restoreDigest(p.Digest)
	if err == nil && p.Key == u.key && p.Parts >= 0 && p.Parts <= maxParts {
		parts, size, err := u.store.listParts(ctx, u.key, p.UploadID, p.Parts)
		switch {
		case problem.Is(err, problem.NotFound):
			return nil // it was completed or aborted: start anew
		case err != nil:
			return err
		case len(parts) == p.Parts && size == p.Offset && tagsOf(parts) == p.Tags:
			u.uploadID, u.parts, u.safe = p.UploadID, parts, safePoint{offset: p.Offset, digest: p.Digest}
			u.offset, u.sum = p.Offset, sum
			return nil
		}
	}
	return u.store.abort(ctx, p.Key, p.UploadID)
}

func parseProgress(b []byte) *progress {
	var p progress
	if json.Unmarshal(b, &p) != nil || p.UploadID == "" || CheckKey(p.Key) != nil {
		return nil // a state that is none starts anew, as a lost one does
	}
	return &p
}

func (s *s3Store) readNote(ctx context.Context, note string) (*progress, error) {
	ctx, cancel := context.WithTimeout(ctx, s3CallTimeout)
	defer cancel()
	out, err := s.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &s.bucket, Key: &note})
	if err := s3Error(err, note); problem.Is(err, problem.NotFound) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	defer func() { _ = out.Body.Close() }()
	b, err := io.ReadAll(io.LimitReader(out.Body, maxNote))
	if err != nil {
		return nil, s3Error(err, note)
	}
	return parseProgress(b), nil
}

func (u *s3Upload) writeNote(ctx context.Context, parts []types.CompletedPart, at safePoint) error {
	if u.note == "" {
		return nil
	}
	b, err := json.Marshal(u.progress(parts, at))
	if err != nil {
		return problem.New(problem.Internal, "progress of an upload: %w", err)
	}
	return u.store.put(ctx, u.note, "application/json", b)
}

// listParts returns the first n parts that the service has of an upload and their size in all.
func (s *s3Store) listParts(ctx context.Context, key, uploadID string, n int) ([]types.CompletedPart, int64, error) {
	var parts []types.CompletedPart
	var size int64
	in := &s3.ListPartsInput{Bucket: &s.bucket, Key: &key, UploadId: &uploadID}
	for {
		out, err := s.partsPage(ctx, in)
		if err != nil {
			return nil, 0, s3Error(err, key)
		}
		for _, p := range out.Parts {
			if len(parts) == n || int(aws.ToInt32(p.PartNumber)) != len(parts)+1 {
				return parts, size, nil
			}
			parts = append(parts, types.CompletedPart{ETag: p.ETag, PartNumber: p.PartNumber})
			size += aws.ToInt64(p.Size)
		}
		if !aws.ToBool(out.IsTruncated) || out.NextPartNumberMarker == nil {
			return parts, size, nil
		}
		in.PartNumberMarker = out.NextPartNumberMarker
	}
}

func (s *s3Store) partsPage(ctx context.Context, in *s3.ListPartsInput) (*s3.ListPartsOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, s3CallTimeout)
	defer cancel()
	return s.client.ListParts(ctx, in)
}

func (s *s3Store) abort(ctx context.Context, key, uploadID string) error {
	ctx, cancel := context.WithTimeout(ctx, s3CallTimeout)
	defer cancel()
	_, err := s.client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: &s.bucket, Key: &key, UploadId: &uploadID})
	if err := s3Error(err, key); err != nil && !problem.Is(err, problem.NotFound) {
		return err
	}
	return nil
}

// abortStale drops forgotten uploads of a key, whose parts cost money and show nowhere. It is a service, not a promise.
func (s *s3Store) abortStale(ctx context.Context, key string) {
	listing, cancel := context.WithTimeout(ctx, s3CallTimeout)
	defer cancel()
	out, err := s.client.ListMultipartUploads(listing, &s3.ListMultipartUploadsInput{Bucket: &s.bucket, Prefix: &key})
	if err != nil {
		return // not every service and not every permission has it
	}
	for _, up := range out.Uploads {
		if aws.ToString(up.Key) == key && up.Initiated != nil && time.Since(*up.Initiated) > staleUpload {
			_ = s.abort(ctx, key, aws.ToString(up.UploadId))
		}
	}
}

// tagsOf is a digest of the parts' tags.
func tagsOf(parts []types.CompletedPart) string {
	h := sha256.New()
	for _, p := range parts {
		_, _ = io.WriteString(h, bareTag(p.ETag)+"\n") // a hash never fails
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// multipartTag is the tag that S3 gives an object of these parts.
func multipartTag(parts []types.CompletedPart) string {
	h := md5.New() //nolint:gosec // as above
	for _, p := range parts {
		b, err := hex.DecodeString(bareTag(p.ETag))
		if err != nil {
			return ""
		}
		_, _ = h.Write(b) // a hash never fails
	}
	return fmt.Sprintf("%x-%d", h.Sum(nil), len(parts))
}
