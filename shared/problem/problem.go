// Package problem is the one error vocabulary of Tidegate.
//
// An error carries a Kind (what sort of failure it is), optionally the field at fault, and its cause. Kinds travel
// inside a process wrapped with %w; each HTTP surface maps them to a status in exactly one place (Status for our own
// APIs and the DPS API, EventStatus for answers to a broker). Anything without a Kind is Internal, and its text never
// leaves the process: the reply carries an id, the log line carries the same id and the cause.
//
// The body of an error reply is an RFC 9457 problem document (application/problem+json).
package problem

import (
	"errors"
	"fmt"
	"net/http"
	"time"
)

// Kind says what sort of failure an error is.
type Kind uint8

// The kinds of failure. The zero Kind is Internal, so that an unclassified error never leaks.
const (
	Internal        Kind = iota // a defect or an unclassified failure
	Invalid                     // the input is malformed: a field is missing, of the wrong type, out of range
	Unprocessable               // the input is well formed, yet can never be acted on
	Unauthenticated             // no valid credentials
	Forbidden                   // valid credentials, not allowed
	NotFound                    // no such thing, or none that the caller may see
	Conflict                    // the thing exists already, or its state does not allow the request
	Stale                       // a condition of the request (If-Match, If-None-Match) does not hold any more
	TooLarge                    // the input is over a stated limit
	TooMany                     // the caller is over a stated rate or concurrency limit
	Unavailable                 // a passing failure on our side: try again
	Upstream                    // the other side failed
	Timeout                     // the other side did not answer in time
)

// status is the HTTP status of each Kind; indexed by Kind.
var status = [...]int{
	Internal:        http.StatusInternalServerError,
	Invalid:         http.StatusBadRequest,
	Unprocessable:   http.StatusUnprocessableEntity,
	Unauthenticated: http.StatusUnauthorized,
	Forbidden:       http.StatusForbidden,
	NotFound:        http.StatusNotFound,
	Conflict:        http.StatusConflict,
	Stale:           http.StatusPreconditionFailed,
	TooLarge:        http.StatusRequestEntityTooLarge,
	TooMany:         http.StatusTooManyRequests,
	Unavailable:     http.StatusServiceUnavailable,
	Upstream:        http.StatusBadGateway,
	Timeout:         http.StatusGatewayTimeout,
}

var names = [...]string{
	Internal: "internal", Invalid: "invalid", Unprocessable: "unprocessable", Unauthenticated: "unauthenticated",
	Forbidden: "forbidden", NotFound: "not found", Conflict: "conflict", Stale: "stale", TooLarge: "too large", TooMany: "too many",
	Unavailable: "unavailable", Upstream: "upstream failure", Timeout: "timeout",
}

// String returns the kind's name.
func (k Kind) String() string {
	if int(k) < len(names) {
		return names[k]
	}
	return names[Internal]
}

// Temporary tells whether the same request may succeed later without being changed.
func (k Kind) Temporary() bool {
	switch k {
	case Unavailable, Upstream, Timeout, TooMany, Internal:
		return true
	case Invalid, Unprocessable, Unauthenticated, Forbidden, NotFound, Conflict, Stale, TooLarge:
		return false
	}
	return true
}

// Error is an error of a known Kind.
type Error struct {
	Kind       Kind
	Field      string        // the field at fault, as the caller spells it (a JSON path, a header, a parameter); may be empty
	Message    string        // what is wrong and what is expected; safe to show to the caller, for every Kind but Internal
	RetryAfter time.Duration // when it makes sense to try again; 0 = unsaid
	Cause      error         // logged, never shown

	cause error // a cause whose text Message holds already
}

// Error returns the message with its field and cause, for logs.
func (e *Error) Error() string {
	s := e.Message
	if s == "" {
		s = e.Kind.String()
	}
	if e.Field != "" {
		s = e.Field + ": " + s
	}
	if e.Cause != nil {
		s += ": " + e.Cause.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error {
	if e.Cause != nil {
		return e.Cause
	}
	return e.cause
}

// New returns an error of a kind. The message is formatted with fmt.Errorf, so that %w keeps a cause.
func New(kind Kind, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Kind: kind, Message: err.Error(), cause: errors.Unwrap(err)}
}

// Field returns an Invalid error about one field of the input: what is wrong with it and what is expected.
func Field(field, format string, args ...any) *Error {
	e := New(Invalid, format, args...)
	e.Field = field
	return e
}

// Wrap gives a cause a kind and a message that may be shown to the caller. The cause is only logged.
func Wrap(kind Kind, cause error, format string, args ...any) *Error {
	return &Error{Kind: kind, Message: fmt.Sprintf(format, args...), Cause: cause}
}

// KindOf returns the Kind of the outermost Error in the chain of err, and Internal if there is none.
func KindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return Internal
}

// Is tells whether err is of the kind.
func Is(err error, kind Kind) bool { return err != nil && KindOf(err) == kind }
