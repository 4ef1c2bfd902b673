package objectstore

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"syscall"

	"github.com/tidegate/tidegate/shared/problem"
)

func notFound(key string) error { return problem.New(problem.NotFound, "there is no object %q", key) }

func stale(key string) error {
	return problem.New(problem.Stale, "the object %q is another one than expected", key)
}

// fileError gives an error of the file system its kind. An error that has a kind already, of a reader say, keeps it.
func fileError(err error, key string) error {
	if _, ok := errors.AsType[*problem.Error](err); ok {
		return err
	}
	switch {
	case errors.Is(err, fs.ErrNotExist), escapes(err), errors.Is(err, syscall.ELOOP):
		return notFound(key)
	case errors.Is(err, syscall.ENOTDIR):
		// Nothing can be below a file: a reader finds nothing there, a writer can't write there.
		return &problem.Error{Kind: problem.NotFound, Field: "key", Message: "a parent of the key is an object itself", Cause: err}
	case errors.Is(err, syscall.ENAMETOOLONG), errors.Is(err, syscall.EISDIR), errors.Is(err, syscall.EINVAL):
		return problem.Wrap(problem.Invalid, err, "%q can't be the name of an object here", key)
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return problem.Wrap(problem.Unavailable, err, "the disk of the bucket is full")
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return problem.Wrap(problem.Unavailable, err, "%q: the time is over", key)
	}
	return problem.Wrap(problem.Unavailable, err, "the bucket folder can't be used")
}

// escapes tells whether a link leads out of the bucket: what lies there is none of its objects. Package os has no name for
// this error.
func escapes(err error) bool {
	e, ok := errors.AsType[*fs.PathError](err)
	return ok && strings.Contains(e.Err.Error(), "escapes from parent")
}
