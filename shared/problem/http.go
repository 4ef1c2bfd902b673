package problem

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/rs/zerolog"
)

// ContentType is the media type of an error reply (RFC 9457, section 3).
const ContentType = "application/problem+json"

// Document is the body of an error reply: an RFC 9457 problem document with the extension members field and id.
type Document struct {
	Title  string `json:"title"`            // the HTTP status text
	Status int    `json:"status"`           // the HTTP status
	Detail string `json:"detail,omitempty"` // what is wrong and what is expected; empty for internal failures
	Field  string `json:"field,omitempty"`  // the field at fault
	ID     string `json:"id"`               // stands in the reply and in the log line, to find one by the other
}

// Status returns the HTTP status of err on Tidegate's own APIs and on the DPS API.
func Status(err error) int {
	return status[KindOf(err)]
}

// EventStatus returns the HTTP status of err in answer to a broker. Knative redelivers on 404, 408, 409, 429 and every
// 5xx and on no other 4xx, so a fault that no redelivery can mend is 400 or 422, and a passing one is 503.
func EventStatus(err error) int {
	switch KindOf(err) {
	case Invalid, TooLarge:
		return http.StatusBadRequest
	case Unauthenticated:
		return http.StatusUnauthorized
	case Unprocessable, Forbidden, NotFound, Conflict, Stale:
		return http.StatusUnprocessableEntity
	case TooMany, Unavailable, Upstream, Timeout, Internal:
		return http.StatusServiceUnavailable
	}
	return http.StatusServiceUnavailable
}

// Write sends err as a problem document with the given status (Status or EventStatus), and logs one line about it: the
// cause and the id at error level for 5xx (at warn level for a 503 that passes), at debug level else.
func Write(w http.ResponseWriter, log *zerolog.Logger, code int, err error) {
	doc := Document{Title: http.StatusText(code), Status: code, ID: newID()}
	if e, ok := errors.AsType[*Error](err); ok && e.Kind != Internal {
		doc.Detail, doc.Field = e.Message, e.Field
		if e.RetryAfter > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(seconds(e.RetryAfter)))
		}
	}
	if code == http.StatusServiceUnavailable && w.Header().Get("Retry-After") == "" {
		w.Header().Set("Retry-After", "1")
	}
	level := zerolog.DebugLevel
	switch {
	case code == http.StatusServiceUnavailable && KindOf(err) != Internal:
		level = zerolog.WarnLevel // it passes, and whoever asked tries again
	case code >= http.StatusInternalServerError:
		level = zerolog.ErrorLevel
	}
	log.WithLevel(level).Str("problem_id", doc.ID).Int("status", code).Err(err).Msg("request failed")
	body, merr := json.Marshal(doc)
	if merr != nil { // strings and integers only: cannot happen
		body = []byte("{}")
	}
	h := w.Header()
	h.Set("Content-Type", ContentType)
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(code)
	_, _ = w.Write(body) // the caller is gone: nobody is left to tell
}

// FromResponse makes an error of a reply that is not a success: the Kind by status, the message from its problem document.
func FromResponse(code int, body []byte, retryAfter string) *Error {
	e := &Error{Kind: kindOfStatus(code)}
	var doc Document
	if json.Unmarshal(body, &doc) == nil && doc.Status == code {
		e.Message, e.Field = doc.Detail, doc.Field
		if doc.ID != "" {
			e.Cause = errors.New("problem " + doc.ID)
		}
	}
	if e.Message == "" {
		e.Message = "answered " + strconv.Itoa(code) + " " + http.StatusText(code)
	}
	if s, err := strconv.Atoi(retryAfter); err == nil && s > 0 {
		e.RetryAfter = time.Duration(s) * time.Second
	}
	return e
}

func kindOfStatus(code int) Kind {
	for k, s := range status {
		if s == code {
			return Kind(k)
		}
	}
	switch {
	case code == http.StatusRequestTimeout:
		return Timeout
	case code >= 500:
		return Upstream
	case code >= 400:
		return Invalid
	}
	return Upstream
}

func seconds(d time.Duration) int {
	s := int((d + time.Second - 1) / time.Second)
	return max(s, 1)
}

func newID() string {
	var b [6]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return hex.EncodeToString(b[:])
}
