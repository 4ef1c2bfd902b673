package main

import (
	"encoding/base64"
	"encoding/hex"
	"math"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/tidegate/tidegate/functions/slices"
	"github.com/tidegate/tidegate/shared/gatewayapi"
)

// answer is what the head of a provider's answer says (RFC 9110, sections 8.8.3, 14 and 15; RFC 9530).
type answer struct {
	status      int
	length      int64 // of the body; -1 = not said
	start, end  int64 // of the range, inclusive; of a 206
	total       int64 // bytes of the whole; -1 = not said
	etag        string
	digest      string // SHA-256 of the whole, lower-case hex; "" = not said
	contentType string
}

// readAnswer reads the head of an answer. A status that refuses is a refusal, one that may pass an Unavailable.
func readAnswer(res *http.Response) (*answer, error) {
	a := &answer{
		status: res.StatusCode, length: res.ContentLength, total: -1,
		etag: strongETag(res.Header.Get("ETag")), contentType: mediaType(res.Header.Get("Content-Type")),
	}
	switch code := res.StatusCode; {
	case code == http.StatusOK:
		a.total = res.ContentLength
	case code == http.StatusPartialContent:
		var ok bool
		if a.start, a.end, a.total, ok = contentRange(res.Header.Get("Content-Range")); !ok {
			return nil, &slices.RefusedError{Reason: "the provider answered 206 without a usable Content-Range"}
		}
		if a.length >= 0 && a.length != a.end-a.start+1 {
			return nil, &slices.RefusedError{Reason: "the provider's Content-Length contradicts its Content-Range"}
		}
	case code == http.StatusRequestedRangeNotSatisfiable:
		a.total = unsatisfied(res.Header.Get("Content-Range"))
	case code == http.StatusTooManyRequests || code >= 500:
		return nil, slices.Again(slices.RetryAfter(res.Header, time.Second), "the provider answered %d", code)
	default:
		return nil, &slices.RefusedError{Reason: "the provider answered " + strconv.Itoa(code), Wait: slices.RetryAfter(res.Header, 0)}
	}
	if enc := res.Header.Get("Content-Encoding"); enc != "" && !strings.EqualFold(enc, "identity") {
		return nil, &slices.RefusedError{Reason: "the provider encoded the content although only identity is accepted"}
	}
	a.digest = reprDigest(res.Header.Values("Repr-Digest"))
	return a, nil
}

// limit is the number of bytes that the body may have.
func (a *answer) limit() int64 {
	switch {
	case a.status == http.StatusPartialContent:
		return a.end - a.start + 1
	case a.total >= 0:
		return a.total
	default:
		return math.MaxInt64
	}
}

// continues tells whether the answer goes on from the bytes that are stored. If not, it begins anew, or it has to be asked
// for anew.
func (a *answer) continues(offset int64, d gatewayapi.Delivery) (bool, error) {
	switch a.status {
	case http.StatusOK: // another version, or a provider without ranges
		return false, nil
	case http.StatusRequestedRangeNotSatisfiable:
		if offset == 0 {
			return false, &slices.RefusedError{Reason: "the provider answered 416 to a request without a range"}
		}
		return a.total == offset && (d.Size < 0 || d.Size == offset), nil
	}
	if offset == 0 {
		return false, &slices.RefusedError{Reason: "the provider answered 206 to a request without a range"}
	}
	switch {
	case a.start != offset:
		return false, &slices.RefusedError{Reason: "the provider answered another range than the one asked for"}
	case a.etag != "" && a.etag != d.ETag, d.Size >= 0 && a.total >= 0 && a.total != d.Size, a.digest != "" && d.SHA256 != "" && a.digest != d.SHA256:
		return false, &slices.RefusedError{Reason: "the provider answered a range of another version", Reset: true}
	}
	if a.etag == "" {
		a.etag = d.ETag
	}
	if a.total < 0 {
		a.total = d.Size
	}
	if a.contentType == "" {
		a.contentType = d.ContentType
	}
	return true, nil
}

// contentRange reads a Content-Range: "bytes 5-9/10". total is -1 for "*".
func contentRange(s string) (start, end, total int64, ok bool) {
	rest, ok := strings.CutPrefix(s, "bytes ")
	if !ok {
		return 0, 0, 0, false
	}
	span, whole, ok1 := strings.Cut(rest, "/")
	first, last, ok2 := strings.Cut(span, "-")
	start, ok3 := slices.Number(first)
	end, ok4 := slices.Number(last)
	total = -1
	ok5 := whole == "*"
	if !ok5 {
		total, ok5 = slices.Number(whole)
	}
	if !ok1 || !ok2 || !ok3 || !ok4 || !ok5 || end < start || (total >= 0 && end >= total) {
		return 0, 0, 0, false
	}
	return start, end, total, true
}

// unsatisfied reads the Content-Range of a 416: "bytes */10". -1 if it has none.
func unsatisfied(s string) int64 {
	rest, ok := strings.CutPrefix(s, "bytes */")
	if n, isNumber := slices.Number(rest); ok && isNumber {
		return n
	}
	return -1
}

// strongETag returns the entity tag, with its quotes, unless it is weak or malformed: only a strong one names these bytes.
func strongETag(s string) string {
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' || strings.ContainsRune(s[1:len(s)-1], '"') || len(s) > 1024 {
		return ""
	}
	return s
}

// reprDigest returns the SHA-256 of a Repr-Digest (RFC 9530, section 3), "" if there is none that can be read.
func reprDigest(fields []string) string {
	for member := range strings.SplitSeq(strings.Join(fields, ","), ",") {
		value, ok := strings.CutPrefix(strings.TrimSpace(member), "sha-256=:")
		if !ok {
			continue
		}
		value, _, ok = strings.Cut(value, ":")
		sum, err := base64.StdEncoding.DecodeString(value)
		if ok && err == nil && len(sum) == 32 {
			return hex.EncodeToString(sum)
		}
	}
	return ""
}

func mediaType(s string) string {
	if _, _, err := mime.ParseMediaType(s); err != nil || len(s) > 255 {
		return ""
	}
	return s
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }
