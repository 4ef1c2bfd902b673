package objectstore

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/tidegate/tidegate/shared/problem"
)

const (
	smallestPart = 5 << 20 // S3 takes no smaller one but at the end
	maxParts     = 10000
	readChunk    = 256 << 10
	lastEffort   = 3 * time.Second // to save what was read when the context has ended
)

// partSize is the size of a part by its number: small at first, so that a kill costs little, and larger in long uploads, so
// that 10000 parts hold 1.3 TiB.
func partSize(number int) int {
	switch {
	case number <= 2000:
		return 8 << 20
	case number <= 4000:
		return 32 << 20
	case number <= 6000:
		return 128 << 20
	default:
		return 256 << 20
	}
}

// s3Upload is a multipart upload. It begins with the first full part: what is smaller is written by one request on Commit. While
// one part is sent the next one is read. After each part the progress is written to an object of its own in the private folder, so that a process that is
// killed at any time, and whose caller had no chance to keep State, costs one part and not the digest of all.
type s3Upload struct {
	store       *s3Store
	key         string
	contentType string
	note        string // key of the object with the progress; "" = the upload is not to be resumed

	uploadID string
	parts    []types.CompletedPart
	offset   int64 // of all bytes that were read: those of parts, and buffer
	sum      digest
	buffer   []byte

	safe     safePoint
	inFlight chan sent // of the part that is being sent; nil = none
	spare    []byte    // a buffer that is free
}

// sent is what came of sending a part.
type sent struct {
	part   types.CompletedPart
	after  safePoint
	buffer []byte
	err    error
}

// safePoint is the end of the last part that the service has.
type safePoint struct {
	offset int64
	digest []byte
}

func (u *s3Upload) Offset() int64  { return u.offset }
func (u *s3Upload) SHA256() string { return u.sum.hex() }

// ReadFrom ends with ctx between two reads: a reader that can block for long must end with ctx too, as the body of a response
// to a request with ctx does.
func (u *s3Upload) ReadFrom(ctx context.Context, r io.Reader) (n int64, err error) {
	defer func() {
		serr := u.settle(ctx)
		if err == nil {
			err = serr
		}
	}()
	for {
		if err := ctx.Err(); err != nil {
			return n, problem.Wrap(problem.Unavailable, err, "the time is over at byte %d", u.offset)
		}
		size := partSize(len(u.parts) + u.flying() + 1)
		if len(u.buffer) >= size {
			if err := u.sendBuffer(ctx); err != nil {
				return n, err
			}
			continue
		}
		m, rerr := u.fill(r, size)
		n += int64(m)
		if errors.Is(rerr, io.EOF) {
			return n, nil
		}
		if rerr != nil {
			return n, rerr
		}
	}
}

// fill reads once into the buffer.
func (u *s3Upload) fill(r io.Reader, size int) (int, error) {
	if cap(u.buffer)-len(u.buffer) < min(readChunk, size-len(u.buffer)) {
		grown := make([]byte, len(u.buffer), min(max(2*cap(u.buffer), readChunk), size))
		copy(grown, u.buffer)
		u.buffer = grown
	}
	room := u.buffer[len(u.buffer):min(cap(u.buffer), size)]
	m, err := r.Read(room)
	_, _ = u.sum.Write(room[:m]) // a hash never fails
	u.buffer = u.buffer[:len(u.buffer)+m]
	u.offset += int64(m)
	return m, err
}

func (u *s3Upload) flying() int {
	if u.inFlight != nil {
		return 1
	}
	return 0
}

// settle ends ReadFrom: the part under way arrives, and what is left of the buffer is sent if it makes a part. A smaller
// rest stays in memory and is lost with the process.
func (u *s3Upload) settle(ctx context.Context) error {
	if err := u.landed(); err != nil {
		return err
	}
	if len(u.buffer) < smallestPart {
		return nil
	}
	if err := u.sendBuffer(ctx); err != nil {
		return err
	}
	return u.landed()
}

// sendBuffer waits for the part before and begins to send the buffer as the next one.
func (u *s3Upload) sendBuffer(ctx context.Context) error {
	if err := u.landed(); err != nil {
		return err
	}
	if len(u.parts) >= maxParts {
		return problem.New(problem.Invalid, "%q has more bytes than %d parts hold", u.key, maxParts)
	}
	if u.uploadID == "" {
		ctx, cancel := outlive(ctx, lastEffort)
		defer cancel()
		if err := u.begin(ctx); err != nil {
			u.rollBack()
			return err
		}
	}
	out := sent{after: safePoint{offset: u.offset, digest: u.sum.state()}, buffer: u.buffer}
	u.buffer, u.spare = u.spare[:0], nil
	number, before := int32(len(u.parts)+1), slices.Clip(u.parts) // what the goroutine sees, nobody changes
	done := make(chan sent, 1)
	u.inFlight = done
	go func() {
		ctx, cancel := outlive(ctx, lastEffort) // a part is not thrown away because the time ends while it is sent
		defer cancel()
		out.part, out.err = u.store.sendPart(ctx, u.key, u.uploadID, number, out.buffer)
		if out.err == nil {
			out.err = u.writeNote(ctx, append(before, out.part), out.after)
		}
		done <- out
	}()
	return nil
}

// landed waits for the part that is being sent. If it did not arrive the upload falls back to the last one that did.
func (u *s3Upload) landed() error {
	if u.inFlight == nil {
		return nil
	}
	out := <-u.inFlight
	u.inFlight, u.spare = nil, out.buffer
	if out.err != nil {
		u.rollBack()
		return out.err
	}
	u.parts, u.safe = append(u.parts, out.part), out.after
	return nil
}

func (u *s3Upload) rollBack() {
	sum, err := restoreDigest(u.safe.digest)
	if err != nil { // no part yet
		u.safe = safePoint{}
	}
	u.offset, u.sum, u.buffer = u.safe.offset, sum, u.buffer[:0]
}

func (s *s3Store) sendPart(ctx context.Context, key, uploadID string, number int32, body []byte) (types.CompletedPart, error) {
	ctx, cancel := context.WithTimeout(ctx, s3BulkTimeout)
	defer cancel()
	out, err := s.client.UploadPart(ctx, &s3.UploadPartInput{
		Bucket: &s.bucket, Key: &key, UploadId: &uploadID, PartNumber: &number,
		Body: bytes.NewReader(body), ContentLength: aws.Int64(int64(len(body))),
	})
	if err != nil {
		return types.CompletedPart{}, uploadError(err, key)
	}
	return types.CompletedPart{ETag: out.ETag, PartNumber: &number}, nil
}

func (u *s3Upload) begin(ctx context.Context) error {
	u.store.abortStale(ctx, u.key)
	ctx, cancel := context.WithTimeout(ctx, s3CallTimeout)
	defer cancel()
	out, err := u.store.client.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{
		Bucket: &u.store.bucket, Key: &u.key, ContentType: mediaType(u.key, u.contentType),
	})
	if err != nil {
		return uploadError(err, u.key)
	}
	u.uploadID, u.parts, u.safe = aws.ToString(out.UploadId), nil, safePoint{digest: newDigest().state()}
	return u.writeNote(ctx, nil, u.safe)
}

func (u *s3Upload) Reset(ctx context.Context) error {
	if u.uploadID != "" {
		if err := u.store.abort(ctx, u.key, u.uploadID); err != nil {
			return err
		}
	}
	if u.note != "" {
		if err := u.store.remove(ctx, u.note); err != nil {
			return err
		}
	}
	u.uploadID, u.parts, u.safe = "", nil, safePoint{}
	u.rollBack()
	return nil
}

func (u *s3Upload) Commit(ctx context.Context) (Object, error) {
	if u.sum.h == nil {
		return Object{}, problem.New(problem.Internal, "the upload is closed")
	}
	if u.uploadID != "" && len(u.parts) == 0 { // no part arrived: one request does
		if err := u.store.abort(ctx, u.key, u.uploadID); err != nil {
			return Object{}, err
		}
		u.uploadID = ""
	}
	if u.uploadID == "" {
		if err := u.store.put(ctx, u.key, u.contentType, u.buffer); err != nil {
			return Object{}, err
		}
	} else if err := u.complete(ctx); err != nil {
		return Object{}, err
	}
	if u.note != "" {
		if err := u.store.remove(ctx, u.note); err != nil {
			return Object{}, err
		}
	}
	size := u.offset
	_ = u.Close() // there is nothing to let go that could fail
	object, err := u.store.head(ctx, u.key)
	if err == nil && object.Size != size {
		err = problem.New(problem.Unavailable, "%q was written by somebody else at the same time", u.key)
	}
	return object, err
}

func (u *s3Upload) complete(ctx context.Context) error {
	if len(u.buffer) > 0 {
		if err := u.sendBuffer(ctx); err != nil {
			return err
		}
		if err := u.landed(); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, s3BulkTimeout)
	defer cancel()
	_, err := u.store.client.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{
		Bucket: &u.store.bucket, Key: &u.key, UploadId: &u.uploadID, MultipartUpload: &types.CompletedMultipartUpload{Parts: u.parts},
	})
	if err == nil {
		return nil
	}
	if s3Code(err) == "NoSuchUpload" {
		// An answer that got lost: the SDK asked again and the upload had been completed by then.
		if o, herr := u.store.head(ctx, u.key); herr == nil && o.Size == u.offset && o.ETag == multipartTag(u.parts) {
			return nil
		}
	}
	return uploadError(err, u.key)
}

// Close lets go of the upload. Nothing of it is open.
func (u *s3Upload) Close() error {
	u.buffer, u.spare, u.sum = nil, nil, digest{}
	return nil
}

// abandon drops an upload that nobody will resume.
func (u *s3Upload) abandon(ctx context.Context) {
	if u.uploadID == "" {
		return
	}
	ctx, cancel := within(ctx, lastEffort)
	defer cancel()
	_ = u.store.abort(ctx, u.key, u.uploadID) // else abortStale finds it one day
}

// uploadError is s3Error where a missing upload is no missing object: somebody else ended it, and the next try starts anew.
func uploadError(err error, key string) error {
	if s3Code(err) == "NoSuchUpload" || s3Code(err) == "InvalidPart" {
		return problem.Wrap(problem.Unavailable, err, "the upload of %q was ended or changed by somebody else", key)
	}
	return s3Error(err, key)
}

// State is what Upload takes to resume.
func (u *s3Upload) State() json.RawMessage {
	if u.uploadID == "" || u.note == "" {
		return nil
	}
	b, err := json.Marshal(u.progress(u.parts, u.safe))
	if err != nil { // strings and integers: cannot happen
		return nil
	}
	return b
}
