// Package parked keeps the work that was given up: outbox entries that no retry could deliver and dead letters of the broker,
// each with its reason, until an operator re-drives or deletes it.
//
// Work is moved between the outbox and here by one script each way: it is in exactly one of the two places.
package parked

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/redis/go-redis/v9"

	"github.com/tidegate/tidegate/dps-gateway/internal/keys"
	"github.com/tidegate/tidegate/dps-gateway/internal/outbox"
	"github.com/tidegate/tidegate/eventing/catalogue"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/problem"
)

// Fields of a parked entry beside those of the outbox entry that it was.
const (
	fieldWhy       = "why"
	fieldParkedAt  = "parkedat"
	fieldEventType = "etype"
	fieldEventID   = "eid"
)

// maxReason bounds what is kept of a reason, in bytes.
const maxReason = 1000

var (
	//go:embed park.lua
	parkSource string
	//go:embed redrive.lua
	redriveSource string

	parkScript    = redis.NewScript(parkSource)
	redriveScript = redis.NewScript(redriveSource)
)

// Store is the parked work of all tenants, in Redis.
type Store struct {
	rdb  redis.UniversalClient
	bell *outbox.Bell
	now  func() time.Time
}

var _ outbox.Parker = (*Store)(nil)

// New returns a store. bell is rung when work goes back to the outbox.
func New(rdb redis.UniversalClient, bell *outbox.Bell) *Store {
	return &Store{rdb: rdb, bell: bell, now: time.Now}
}

// Park moves an outbox entry here with the reason why it was given up. Doing it twice is doing it once.
func (s *Store) Park(ctx context.Context, e *outbox.Entry, reason string) error {
	eventType, eventID := "", ""
	if e.Lane == outbox.LaneEvent {
		if ce, err := e.CloudEvent(); err == nil {
			eventType, eventID = ce.Type(), ce.ID()
		} else {
			eventType = e.Kind
		}
	}
	// The stream's own id makes the name, so that a relay that died in between parks the same entry under the same name.
	return s.park(ctx, e, fmt.Sprintf("%015d-%s", e.At.UnixMilli(), e.ID), e.ID, reason, eventType, eventID)
}

// ParkEvent takes an event that the broker gave up. The same event twice is parked once. pc is the event's participant
// context, or "" if it names none.
func (s *Store) ParkEvent(ctx context.Context, pc string, ce *event.Event, reason string) (id string, err error) {
	if pc == "" {
		pc = keys.NoTenant
	}
	raw, err := json.Marshal(ce)
	if err != nil {
		return "", problem.Wrap(problem.Invalid, err, "the event can't be encoded")
	}
	e := outbox.Entry{PC: pc, Lane: outbox.LaneDeadLetter, Kind: ce.Type(), Subject: ce.Subject(), Event: raw, At: ce.Time()}
	if e.At.IsZero() || e.At.UnixMilli() < 0 {
		e.At = time.UnixMilli(0)
	}
	id = fmt.Sprintf("%015d-%s", e.At.UnixMilli(), catalogue.ID(ce.Source(), ce.ID()))
	return id, s.park(ctx, &e, id, "", reason, ce.Type(), ce.ID())
}

func (s *Store) park(ctx context.Context, e *outbox.Entry, id, streamID, reason, eventType, eventID string) error {
	if len(reason) > maxReason {
		reason = reason[:maxReason]
	}
	args := []any{id, streamID}
	for name, v := range e.Fields() {
		args = append(args, name, v)
	}
	args = append(args, fieldWhy, reason, fieldParkedAt, s.now().UnixMilli(), fieldEventType, eventType, fieldEventID, eventID)
	names := []string{keys.Parked(e.PC, id), keys.ParkedIndex(e.PC), keys.Outbox(keys.Shard(e.PC))}
	if err := parkScript.Run(ctx, s.rdb, names, args...).Err(); err != nil {
		return unavailable(err)
	}
	return nil
}

// List returns a page of a tenant's parked work after the given id, oldest first.
func (s *Store) List(ctx context.Context, pc, after string, limit int) (gatewayapi.Page[gatewayapi.Parked], error) {
	page := gatewayapi.Page[gatewayapi.Parked]{Items: []gatewayapi.Parked{}}
	low := "-"
	if after != "" {
		low = "(" + after
	}
	ids, err := s.rdb.ZRangeByLex(ctx, keys.ParkedIndex(pc), &redis.ZRangeBy{Min: low, Max: "+", Count: int64(limit)}).Result()
	if err != nil {
		return page, unavailable(err)
	}
	if len(ids) == 0 {
		return page, nil
	}
	found := make([]*redis.MapStringStringCmd, len(ids))
	if _, err := s.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, id := range ids {
			found[i] = p.HGetAll(ctx, keys.Parked(pc, id))
		}
		return nil
	}); err != nil {
		return page, unavailable(err)
	}
	for i, id := range ids {
		if f := found[i].Val(); len(f) > 0 {
			page.Items = append(page.Items, view(pc, id, f))
		}
	}
	if len(ids) == limit {
		page.Next = ids[len(ids)-1]
	}
	return page, nil
}

// Redrive puts parked work back on the outbox; NotFound if there is none of this id. A dead letter is published again.
func (s *Store) Redrive(ctx context.Context, pc, id string) error {
	names := []string{keys.Parked(pc, id), keys.ParkedIndex(pc), keys.Outbox(keys.Shard(pc))}
	n, err := redriveScript.Run(ctx, s.rdb, names, id, string(outbox.LaneDeadLetter), string(outbox.LaneEvent),
		fieldWhy, fieldParkedAt, fieldEventType, fieldEventID).Int()
	if err != nil {
		return unavailable(err)
	}
	if n == 0 {
		return notFound(id)
	}
	s.bell.Ring(pc)
	return nil
}

// Delete drops parked work for good; NotFound if there is none of this id.
func (s *Store) Delete(ctx context.Context, pc, id string) error {
	var n *redis.IntCmd
	if _, err := s.rdb.TxPipelined(ctx, func(p redis.Pipeliner) error {
		n = p.Del(ctx, keys.Parked(pc, id))
		p.ZRem(ctx, keys.ParkedIndex(pc), id)
		return nil
	}); err != nil {
		return unavailable(err)
	}
	if n.Val() == 0 {
		return notFound(id)
	}
	return nil
}

func view(pc, id string, f map[string]string) gatewayapi.Parked {
	e := outbox.Decode(id, f)
	at := outbox.Decode(id, map[string]string{outbox.FieldAt: f[fieldParkedAt]}).At
	return gatewayapi.Parked{
		ID: id, ParticipantContextID: pc, Lane: string(e.Lane), Reason: f[fieldWhy], Subject: e.Subject,
		EventType: f[fieldEventType], EventID: f[fieldEventID], ParkedAt: at,
	}
}

func notFound(id string) error { return problem.New(problem.NotFound, "no parked work %q", id) }

func unavailable(err error) error {
	if errors.Is(err, context.Canceled) {
		return problem.Wrap(problem.Timeout, err, "the caller has gone")
	}
	e := problem.Wrap(problem.Unavailable, err, "the store can't be reached")
	e.RetryAfter = time.Second
	return e
}
