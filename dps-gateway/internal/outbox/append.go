package outbox

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/redis/go-redis/v9"

	"github.com/tidegate/tidegate/dps-gateway/internal/keys"
	"github.com/tidegate/tidegate/dps-gateway/internal/redisconn"
	"github.com/tidegate/tidegate/shared/problem"
)

// Writer appends entries that belong to no transition of a flow.
type Writer struct {
	rdb  redis.UniversalClient
	bell *Bell
}

// NewWriter returns a writer.
func NewWriter(rdb redis.UniversalClient, bell *Bell) *Writer { return &Writer{rdb: rdb, bell: bell} }

// Append appends an entry. When it returns nil the entry is as durable as Redis is, and will be delivered or parked.
func (w *Writer) Append(ctx context.Context, e *Entry) error {
	if err := w.rdb.XAdd(ctx, &redis.XAddArgs{Stream: keys.Outbox(keys.Shard(e.PC)), Values: e.Fields()}).Err(); err != nil {
		return unavailable(err)
	}
	w.bell.Ring(e.PC)
	return nil
}

// ForEvent makes the entry of an event of a tenant.
func ForEvent(pc string, ce *event.Event) (*Entry, error) {
	raw, err := json.Marshal(ce)
	if err != nil {
		return nil, problem.Wrap(problem.Invalid, err, "the event can't be encoded")
	}
	return &Entry{PC: pc, Lane: LaneEvent, Kind: ce.Type(), Subject: ce.Subject(), Event: raw, At: ce.Time()}, nil
}

func unavailable(err error) error {
	if errors.Is(err, context.Canceled) {
		return problem.Wrap(problem.Timeout, err, "the caller has gone")
	}
	e := problem.Wrap(problem.Unavailable, redisconn.Trouble(err), "the outbox can't be reached")
	e.RetryAfter = time.Second
	return e
}
