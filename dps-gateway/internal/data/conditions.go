package data

import (
	"net/http"
	"strconv"
	"strings"
)

// span is a part of a representation, in bytes.
type span struct{ offset, length int64 }

// precondition evaluates the conditional headers of a request for a representation with the entity tag, in the order of
// RFC 9110, section 13.2.2, and returns 0 or the status that answers the request. Conditions on dates are ignored, as for
// every resource without a modification date.
func precondition(h http.Header, etag string) int {
	if m := strings.Join(h.Values("If-Match"), ","); m != "" && !listHas(m, etag, false) {
		return http.StatusPreconditionFailed
	}
	if m := strings.Join(h.Values("If-None-Match"), ","); m != "" && listHas(m, etag, true) {
		return http.StatusNotModified
	}
	return 0
}

// rangeOf evaluates Range and If-Range of a GET (RFC 9110, section 14.2). whole says that the representation is answered as
// a whole: no range, several, one of another unit or one that is none, or an If-Range that does not hold. If whole is false
// and ok too, no byte of the range is there.
func rangeOf(h http.Header, etag string, size int64) (part span, whole, ok bool) {
	all := span{0, size}
	v := h.Values("Range")
	if len(v) != 1 || size == 0 { // there is no part of nothing
		return all, true, true
	}
	if ir := h.Values("If-Range"); len(ir) > 0 && (len(ir) > 1 || strings.TrimSpace(ir[0]) != etag) { // strong comparison; a date never holds
		return all, true, true
	}
	unit, set, found := strings.Cut(v[0], "=")
	if !found || !strings.EqualFold(strings.TrimSpace(unit), "bytes") || strings.Contains(set, ",") {
		return all, true, true
	}
	first, last, found := strings.Cut(strings.TrimSpace(set), "-")
	if !found {
		return all, true, true
	}
	if first == "" {
		n, valid := position(last)
		switch {
		case !valid:
			return all, true, true
		case n == 0:
			return span{}, false, false
		}
		n = min(n, size)
		return span{size - n, n}, false, true
	}
	from, valid := position(first)
	to := size - 1
	if valid && last != "" {
		to, valid = position(last)
	}
	switch {
	case !valid || to < from && last != "":
		return all, true, true
	case from >= size:
		return span{}, false, false
	}
	return span{from, min(to, size-1) - from + 1}, false, true
}

// position reads digits; one that is too large for an int64 is beyond every representation.
func position(s string) (int64, bool) {
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 1<<63 - 1, true
	}
	return n, true
}

// listHas tells whether a list of entity tags has the given strong one. Weak tags count only in weak comparison.
func listHas(list, etag string, weak bool) bool {
	for {
		list = strings.TrimLeft(list, " \t,")
		if list == "" {
			return false
		}
		if list[0] == '*' {
			return true
		}
		isWeak := strings.HasPrefix(list, "W/")
		rest := strings.TrimPrefix(list, "W/")
		if rest == "" || rest[0] != '"' {
			return false
		}
		end := strings.IndexByte(rest[1:], '"')
		if end < 0 {
			return false
		}
		if tag := rest[:end+2]; tag == etag && (weak || !isWeak) {
			return true
		}
		list = rest[end+2:]
	}
}
