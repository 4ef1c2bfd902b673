package ingest

import (
	"encoding/base64"
	"encoding/hex"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"github.com/tidegate/tidegate/shared/problem"
)

// Request is what the head of a push says.
type Request struct {
	Start       int64  // of the body's first byte in the whole
	Length      int64  // of the body; -1 = until it ends
	Total       int64  // bytes of the whole; -1 = what the body has
	Whole       bool   // the body is all of it, or its beginning: what was stored before is dropped
	SHA256      string // of the whole, lower-case hex; "" = not said
	ContentType string // "" = not said
}

// ParseRequest reads the head of a push. Its error is of kind Invalid and names the field.
func ParseRequest(h http.Header, contentLength int64) (*Request, error) {
	q := &Request{Length: contentLength, Total: contentLength, Whole: true, ContentType: mediaType(h.Get("Content-Type"))}
	if enc := h.Get("Content-Encoding"); enc != "" && !strings.EqualFold(enc, "identity") {
		return nil, problem.Field("Content-Encoding", "is not identity: what is stored must be what the digest is of")
	}
	if ranges := h.Values("Content-Range"); len(ranges) > 0 {
		if err := q.contentRange(ranges); err != nil {
			return nil, err
		}
	}
	var err error
	if q.SHA256, err = sha256Of("Repr-Digest", h); err != nil {
		return nil, err
	}
	if q.SHA256 == "" && q.Whole && (q.Total < 0 || q.Length == q.Total) { // then the content is the representation
		q.SHA256, err = sha256Of("Content-Digest", h)
	}
	return q, err
}

// contentRange reads "bytes 5-9/10", and "bytes */10", which says that all is there and nothing follows.
func (q *Request) contentRange(fields []string) error {
	bad := problem.Field("Content-Range", `is not like "bytes 5-9/10", or "bytes */10" without a body`)
	rest, ok := strings.CutPrefix(fields[0], "bytes ")
	span, whole, ok2 := strings.Cut(rest, "/")
	total, ok3 := number(whole)
	if len(fields) != 1 || !ok || !ok2 || !ok3 {
		return bad
	}
	if span == "*" {
		if q.Length > 0 {
			return bad
		}
		q.Start, q.Length, q.Total, q.Whole = total, 0, total, total == 0
		return nil
	}
	first, last, ok := strings.Cut(span, "-")
	start, ok2 := number(first)
	end, ok3 := number(last)
	if !ok || !ok2 || !ok3 || end < start || end >= total {
		return bad
	}
	if q.Length >= 0 && q.Length != end-start+1 {
		return problem.Field("Content-Range", "contradicts Content-Length")
	}
	q.Start, q.Length, q.Total, q.Whole = start, end-start+1, total, start == 0
	return nil
}

// number reads digits only, up to 2^62.
func number(s string) (int64, bool) {
	if s == "" || len(s) > 19 || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil && n < 1<<62
}

// sha256Of reads the SHA-256 of a digest field (RFC 9530, sections 2 and 3); "" if there is none.
func sha256Of(field string, h http.Header) (string, error) {
	for member := range strings.SplitSeq(strings.Join(h.Values(field), ","), ",") {
		value, ok := strings.CutPrefix(strings.TrimSpace(member), "sha-256=")
		if !ok {
			continue
		}
		value, _, _ = strings.Cut(value, ";") // parameters
		value, begins := strings.CutPrefix(value, ":")
		value, ends := strings.CutSuffix(value, ":")
		sum, err := base64.StdEncoding.DecodeString(value)
		if !begins || !ends || err != nil || len(sum) != 32 {
			return "", problem.Field(field, "has no SHA-256 that can be read: sha-256=:<base64>: is expected")
		}
		return hex.EncodeToString(sum), nil
	}
	return "", nil
}

// ReprDigest spells a SHA-256 in lower-case hex as the value of a Repr-Digest; "" if it is none.
func ReprDigest(sha256Hex string) string {
	sum, err := hex.DecodeString(sha256Hex)
	if err != nil || len(sum) != 32 {
		return ""
	}
	return "sha-256=:" + base64.StdEncoding.EncodeToString(sum) + ":"
}

func mediaType(s string) string {
	if _, _, err := mime.ParseMediaType(s); err != nil || len(s) > 255 {
		return ""
	}
	return s
}
