package main

import (
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/tidegate/tidegate/functions/slices"
)

// there is how much a consumer has.
type there struct {
	resumable bool // it knows offsets
	offset    int64
	complete  bool
}

// readThere reads the answer to HEAD. Whoever has all of another version, or all of an unnamed one, has what it wanted to have.
func readThere(res *http.Response, digest string, size int64) (there, error) {
	switch code := res.StatusCode; {
	case code == http.StatusTooManyRequests || (code >= 500 && code != http.StatusNotImplemented):
		return there{}, slices.Again(slices.RetryAfter(res.Header, time.Second), "the consumer answered %d", code)
	case code == http.StatusUnauthorized:
		return there{}, &slices.RefusedError{Reason: "the consumer answered 401"}
	case code/100 != 2: // it takes no HEAD, or there is nothing yet
		return there{}, nil
	}
	offset, ok := slices.Number(res.Header.Get("Upload-Offset"))
	if !ok {
		return there{}, nil
	}
	same := hasDigest(res.Header, digest)
	if res.Header.Get("Upload-Complete") == "?1" {
		if !same {
			return there{}, &slices.RefusedError{Reason: "the consumer has other data for this transfer already", Final: true}
		}
		return there{resumable: true, offset: size, complete: true}, nil
	}
	if !same || offset > size { // of another version, or not begun
		offset = 0
	}
	return there{resumable: true, offset: offset}, nil
}

// readResult reads the answer to the data.
func readResult(res *http.Response, digest string) (complete bool, err error) {
	h := res.Header
	switch code := res.StatusCode; {
	case code/100 == 2:
		return h.Get("Upload-Offset") == "" || h.Get("Upload-Complete") == "?1", nil
	case code == http.StatusConflict && h.Get("Upload-Complete") == "?1" && !hasDigest(h, digest):
		return false, &slices.RefusedError{Reason: "the consumer has other data for this transfer already", Final: true}
	case code == http.StatusConflict && h.Get("Upload-Offset") != "": // it has moved meanwhile: ask again
		return false, nil
	case code == http.StatusTooManyRequests || code == http.StatusRequestTimeout || code >= 500:
		return false, slices.Again(slices.RetryAfter(h, time.Second), "the consumer answered %d", code)
	}
	return false, &slices.RefusedError{Reason: "the consumer answered " + strconv.Itoa(res.StatusCode), Wait: slices.RetryAfter(h, 0)}
}

// hasDigest tells whether a Repr-Digest (RFC 9530, section 3) names a SHA-256, which is in lower-case hex.
func hasDigest(h http.Header, digest string) bool {
	want := reprDigest(digest)
	for member := range strings.SplitSeq(strings.Join(h.Values("Repr-Digest"), ","), ",") {
		value, _, _ := strings.Cut(strings.TrimSpace(member), ";")
		if value == want {
			return true
		}
	}
	return false
}

func reprDigest(digest string) string {
	sum, err := hex.DecodeString(digest)
	if err != nil { // the gateway takes no other
		return ""
	}
	return "sha-256=:" + base64.StdEncoding.EncodeToString(sum) + ":"
}

// contentRange is all from an offset on (RFC 9110, section 14.4); "bytes */10" says that nothing follows.
func contentRange(offset, size int64) string {
	total := strconv.FormatInt(size, 10)
	if offset == size {
		return "bytes */" + total
	}
	return "bytes " + strconv.FormatInt(offset, 10) + "-" + strconv.FormatInt(size-1, 10) + "/" + total
}
