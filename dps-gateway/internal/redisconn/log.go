package redisconn

import (
	"context"

	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"
)

// LogTo has the driver, which otherwise writes plain lines to stderr, tell the log what it does about connections. It holds for
// the process; the program's main calls it.
func LogTo(log zerolog.Logger) { redis.SetLogger(driverLog{log}) }

type driverLog struct{ log zerolog.Logger }

// Printf takes a line of the driver: a warning, since what it leads to is answered and logged by who made the request.
func (d driverLog) Printf(_ context.Context, format string, v ...any) {
	d.log.Warn().Str("part", "redis driver").Msgf(format, v...)
}
