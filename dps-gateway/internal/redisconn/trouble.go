package redisconn

import (
	"context"
	"errors"

	"github.com/redis/go-redis/v9"
)

// TroubleError is an error of Redis: it, or the way to it, has failed.
type TroubleError struct{ Cause error }

// Trouble marks an error as one of Redis.
func Trouble(cause error) error { return &TroubleError{cause} }

// Error implements error.
func (e *TroubleError) Error() string { return e.Cause.Error() }

// Unwrap gives the cause.
func (e *TroubleError) Unwrap() error { return e.Cause }

// passing are the refusals of a Redis that is restarted or fails over.
var passing = []string{"LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "NOREPLICAS"}

// Passes tells whether an error is one of Redis that a restart or a failover ends within seconds, without anybody's doing: it can't be
// reached, does not answer, or takes no writes. One that is full, or refuses the account, waits for its operator.
func Passes(err error) bool {
	trouble, ok := errors.AsType[*TroubleError](err)
	if !ok || errors.Is(trouble.Cause, context.Canceled) || errors.Is(trouble.Cause, redis.ErrClosed) {
		return false
	}
	if _, answered := errors.AsType[redis.Error](trouble.Cause); !answered {
		return true
	}
	for _, prefix := range passing {
		if redis.HasErrorPrefix(trouble.Cause, prefix) {
			return true
		}
	}
	return false
}
