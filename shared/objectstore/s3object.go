package objectstore

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"iter"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/tidegate/tidegate/shared/problem"
)

func (s *s3Store) Head(ctx context.Context, key string) (Object, error) {
	if err := CheckKey(key); err != nil {
		return Object{}, err
	}
	return s.head(ctx, key)
}

func (s *s3Store) head(ctx context.Context, key string) (Object, error) {
	ctx, cancel := context.WithTimeout(ctx, s3CallTimeout)
	defer cancel()
	out, err := s.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &s.bucket, Key: &key})
	if err != nil {
		return Object{}, s3Error(err, key)
	}
	return Object{
		Key: key, Size: aws.ToInt64(out.ContentLength), ETag: bareTag(out.ETag), ContentType: aws.ToString(out.ContentType),
		Modified: aws.ToTime(out.LastModified).UTC(),
	}, nil
}

func (s *s3Store) Open(ctx context.Context, key, etag string, offset, length int64) (io.ReadCloser, Object, error) {
	if err := CheckKey(key); err != nil {
		return nil, Object{}, err
	}
	if offset < 0 {
		return nil, Object{}, problem.Field("offset", "%d is negative", offset)
	}
	in := &s3.GetObjectInput{Bucket: &s.bucket, Key: &key}
	if etag != "" {
		in.IfMatch = aws.String(`"` + etag + `"`)
	}
	switch {
	case length == 0:
		return s.openEmpty(ctx, key, etag, offset)
	case length > 0:
		in.Range = aws.String(fmt.Sprintf("bytes=%d-%d", offset, offset+length-1))
	case offset > 0:
		in.Range = aws.String(fmt.Sprintf("bytes=%d-", offset))
	}
	out, err := s.client.GetObject(ctx, in)
	if isInvalidRange(err) {
		return s.openEmpty(ctx, key, etag, offset)
	}
	if err != nil {
		return nil, Object{}, s3Error(err, key)
	}
	object := Object{
		Key: key, Size: aws.ToInt64(out.ContentLength), ETag: bareTag(out.ETag), ContentType: aws.ToString(out.ContentType),
		Modified: aws.ToTime(out.LastModified).UTC(),
	}
	if in.Range != nil {
		_, whole, ok := strings.Cut(aws.ToString(out.ContentRange), "/")
		if object.Size, err = strconv.ParseInt(whole, 10, 64); !ok || err != nil {
			_ = out.Body.Close() // nothing was read
			return nil, Object{}, problem.New(problem.Unavailable, "the store answered a range of %q without saying which", key)
		}
	}
	return out.Body, object, nil
}

// openEmpty answers for a range that has no bytes, which HTTP can't ask for.
func (s *s3Store) openEmpty(ctx context.Context, key, etag string, offset int64) (io.ReadCloser, Object, error) {
	object, err := s.head(ctx, key)
	if err != nil {
		return nil, Object{}, err
	}
	if etag != "" && etag != object.ETag {
		return nil, Object{}, stale(key)
	}
	if offset > object.Size {
		return nil, Object{}, problem.Field("offset", "%d is outside of %q, which has %d bytes", offset, key, object.Size)
	}
	return io.NopCloser(bytes.NewReader(nil)), object, nil
}

func (s *s3Store) Put(ctx context.Context, key, contentType string, r io.Reader) (Object, error) {
	if err := CheckKey(key); err != nil {
		return Object{}, err
	}
	u := &s3Upload{store: s, key: key, contentType: contentType, sum: newDigest()}
	if _, err := u.ReadFrom(ctx, r); err != nil {
		u.abandon(ctx)
		return Object{}, s3Error(err, key)
	}
	object, err := u.Commit(ctx)
	if err != nil {
		u.abandon(ctx)
	}
	return object, err
}

// put writes an object by one request. The service checks the digest.
func (s *s3Store) put(ctx context.Context, key, contentType string, content []byte) error {
	ctx, cancel := context.WithTimeout(ctx, s3BulkTimeout)
	defer cancel()
	sum := sha256.Sum256(content)
	_, err := s.client.PutObject(ctx, &s3.PutObjectInput{
		Bucket: &s.bucket, Key: &key, ContentType: mediaType(key, contentType), Body: bytes.NewReader(content),
		ContentLength: aws.Int64(int64(len(content))), ChecksumSHA256: aws.String(base64.StdEncoding.EncodeToString(sum[:])),
	})
	if err != nil {
		return s3Error(err, key)
	}
	return nil
}

func (s *s3Store) Delete(ctx context.Context, key string) error {
	if err := CheckKey(key); err != nil {
		return err
	}
	return s.remove(ctx, key)
}

func (s *s3Store) remove(ctx context.Context, key string) error {
	ctx, cancel := context.WithTimeout(ctx, s3CallTimeout)
	defer cancel()
	_, err := s.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &s.bucket, Key: &key})
	if err := s3Error(err, key); err != nil && !problem.Is(err, problem.NotFound) {
		return err
	}
	return nil
}

// List asks for URL-encoded keys: XML has no way to write some characters, and one such key would make the page unreadable. Keys
// that CheckKey refuses, such as the "folder/" objects of some tools, are passed over. The listing tells no content types.
func (s *s3Store) List(ctx context.Context, prefix, after string) iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) {
		in := &s3.ListObjectsV2Input{Bucket: &s.bucket, EncodingType: types.EncodingTypeUrl}
		if prefix != "" {
			in.Prefix = &prefix
		}
		if after != "" {
			in.StartAfter = &after
		}
		for {
			out, err := s.page(ctx, in)
			if err != nil {
				yield(Object{}, s3Error(err, prefix))
				return
			}
			for _, o := range out.Contents {
				key := aws.ToString(o.Key)
				if out.EncodingType == types.EncodingTypeUrl {
					if key, err = url.QueryUnescape(key); err != nil {
						yield(Object{}, problem.Wrap(problem.Unavailable, err, "the store's listing"))
						return
					}
				}
				if key <= after || CheckKey(key) != nil {
					continue
				}
				if !yield(Object{Key: key, Size: aws.ToInt64(o.Size), ETag: bareTag(o.ETag), Modified: aws.ToTime(o.LastModified).UTC()}, nil) {
					return
				}
			}
			if !aws.ToBool(out.IsTruncated) || out.NextContinuationToken == nil {
				return
			}
			in.ContinuationToken, in.StartAfter = out.NextContinuationToken, nil
		}
	}
}

func (s *s3Store) page(ctx context.Context, in *s3.ListObjectsV2Input) (*s3.ListObjectsV2Output, error) {
	ctx, cancel := context.WithTimeout(ctx, s3CallTimeout)
	defer cancel()
	return s.client.ListObjectsV2(ctx, in)
}

func bareTag(etag *string) string { return strings.Trim(aws.ToString(etag), `"`) }

func mediaType(key, contentType string) *string {
	if contentType == "" {
		contentType = ContentType(key)
	}
	return &contentType
}

// within bounds a call that must be made even if ctx has ended.
func within(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), d)
}

// outlive returns a context that ends d after ctx does.
func outlive(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	longer, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
			cancel()
		case <-longer.Done():
		}
	})
	return longer, func() { stop(); cancel() }
}
