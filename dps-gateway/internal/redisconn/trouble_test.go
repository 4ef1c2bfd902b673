package redisconn_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/tidegate/tidegate/dps-gateway/internal/redisconn"
	"github.com/tidegate/tidegate/shared/problem"
)

// replied is an error that Redis has answered.
type replied string

func (r replied) Error() string { return string(r) }
func (replied) RedisError()     {}

func TestWhatPassesByItself(t *testing.T) {
	wrapped := func(err error) error { return problem.Wrap(problem.Unavailable, redisconn.Trouble(err), "the store") }
	for name, c := range map[string]struct {
		err    error
		passes bool
	}{
		"no error":                     {nil, false},
		"not of Redis":                 {problem.New(problem.Unavailable, "the approver is away"), false},
		"of the network, elsewhere":    {problem.Wrap(problem.Unavailable, &net.OpError{Op: "dial", Err: errors.New("refused")}, "the approver"), false},
		"refused":                      {wrapped(&net.OpError{Op: "dial", Err: errors.New("refused")}), true},
		"broken off":                   {wrapped(io.EOF), true},
		"not in time":                  {wrapped(os.ErrDeadlineExceeded), true},
		"no connection free":           {wrapped(redis.ErrPoolTimeout), true},
		"loading":                      {wrapped(replied("LOADING Redis is loading the dataset in memory")), true},
		"a replica":                    {wrapped(replied("READONLY You can't write against a read only replica.")), true},
		"a replica without a master":   {wrapped(replied("MASTERDOWN Link with MASTER is down")), true},
		"without its replicas":         {wrapped(replied("NOREPLICAS Not enough good replicas to write.")), true},
		"a Cluster that fails over":    {wrapped(replied("CLUSTERDOWN The cluster is down")), true},
		"full":                         {wrapped(replied("OOM command not allowed when used memory > 'maxmemory'.")), false},
		"a disk that is full":          {wrapped(replied("MISCONF Errors writing to the AOF file")), false},
		"an account without the right": {wrapped(replied("NOPERM this user has no permissions")), false},
		"a caller who has gone":        {wrapped(context.Canceled), false},
		"a gateway that stops":         {wrapped(redis.ErrClosed), false},
	} {
		if got := redisconn.Passes(c.err); got != c.passes {
			t.Errorf("%s: %v, want %v", name, got, c.passes)
		}
	}
}
