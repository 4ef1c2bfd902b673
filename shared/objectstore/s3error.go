package objectstore

import (
	"context"
	"errors"
	"net/http"

	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/aws/smithy-go"

	"github.com/tidegate/tidegate/shared/problem"
)

// s3Error gives an error of the SDK its kind. An error that has a kind already, of a reader say, keeps it.
func s3Error(err error, key string) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*problem.Error](err); ok {
		return err
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return problem.Wrap(problem.Unavailable, err, "%q: the time is over", key)
	}
	switch code := s3Code(err); code {
	case "NoSuchKey", "NotFound", "NoSuchUpload":
		return problem.Wrap(problem.NotFound, err, "there is no object %q", key)
	case "PreconditionFailed":
		return problem.Wrap(problem.Stale, err, "the object %q is another one than expected", key)
	case "KeyTooLongError", "InvalidURI", "InvalidObjectName", "XMinioInvalidObjectName":
		return problem.Wrap(problem.Invalid, err, "%q can't be the name of an object here", key)
	case "NoSuchBucket":
		return problem.Wrap(problem.Unavailable, err, "the bucket is not there")
	case "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch":
		return problem.Wrap(problem.Unavailable, err, "the store refuses the bucket's credentials (%s)", code)
	}
	switch s3Status(err) {
	case http.StatusNotFound: // HEAD has no body that could say more
		return problem.Wrap(problem.NotFound, err, "there is no object %q", key)
	case http.StatusPreconditionFailed:
		return problem.Wrap(problem.Stale, err, "the object %q is another one than expected", key)
	}
	return problem.Wrap(problem.Unavailable, err, "the object store failed")
}

func s3Code(err error) string {
	if e, ok := errors.AsType[smithy.APIError](err); ok {
		return e.ErrorCode()
	}
	return ""
}

func s3Status(err error) int {
	if e, ok := errors.AsType[*smithyhttp.ResponseError](err); ok {
		return e.HTTPStatusCode()
	}
	return 0
}

func isInvalidRange(err error) bool {
	return err != nil && (s3Code(err) == "InvalidRange" || s3Status(err) == http.StatusRequestedRangeNotSatisfiable)
}
