package slices

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/tidegate/tidegate/shared/dps"
	"github.com/tidegate/tidegate/shared/problem"
)

// maxWait bounds what a peer's Retry-After can ask for.
const maxWait = time.Minute

// RefusedError says that the peer, or this side, does not do its part. It counts, and at last ends the flow.
type RefusedError struct {
	Reason string
	Final  bool          // it can't get better by trying again
	Reset  bool          // what is stored is of no use
	Wait   time.Duration // as the peer asks
}

func (r *RefusedError) Error() string { return r.Reason }

// broken marks an error of the connection to the peer, after which the work may go on where it was.
type broken struct{ error }

// Break marks an error as one of the connection.
func Break(err error) error { return broken{err} }

func (b broken) Unwrap() error { return b.error }

// IsBreak tells whether an error is one of the connection.
func IsBreak(err error) bool {
	_, ok := errors.AsType[broken](err)
	return ok
}

// Again is a passing failure after which the event should come again, not before wait is over.
func Again(wait time.Duration, format string, args ...any) error {
	err := problem.New(problem.Unavailable, format, args...)
	err.RetryAfter = wait
	return err
}

// RetryAfter is how long a peer asks to be left alone, in seconds (RFC 9110, section 10.2.3); least if it says nothing usable.
func RetryAfter(h http.Header, least time.Duration) time.Duration {
	s, ok := Number(h.Get("Retry-After"))
	if !ok {
		return least
	}
	return max(least, time.Duration(min(s, int64(maxWait/time.Second)))*time.Second)
}

// Number reads digits only, up to 2^62.
func Number(s string) (int64, bool) {
	if s == "" || len(s) > 19 || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil && n < 1<<62
}

// Authorize adds the token of the data address as its authType says. A token without a type counts as a bearer token.
func Authorize(req *http.Request, a *dps.DataAddress) error {
	token := a.Property(dps.PropertyAuthorization)
	if token == "" {
		return nil
	}
	if t := a.Property(dps.PropertyAuthType); t != "" && !strings.EqualFold(t, "bearer") {
		return &RefusedError{Reason: "the data address wants an authentication that is not known", Final: true}
	}
	req.Header.Set("Authorization", "Bearer "+token)
	return nil
}

// Unreachable is an error of an HTTP client as one of the connection. It keeps the endpoint, which may bear a secret, out of the text.
func Unreachable(peer string, err error) error {
	if u, ok := err.(*url.Error); ok { //nolint:errorlint // http.Client returns this very type
		err = u.Err
	}
	return problem.Wrap(problem.Unavailable, err, "the %s can't be reached", peer)
}
