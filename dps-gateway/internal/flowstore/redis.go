package flowstore

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tidegate/tidegate/dps-gateway/internal/keys"
	"github.com/tidegate/tidegate/dps-gateway/internal/outbox"
	"github.com/tidegate/tidegate/dps-gateway/internal/redisconn"
	"github.com/tidegate/tidegate/shared/dps"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/problem"
)

//go:embed transition.lua
var transitionSource string

var transitionScript = redis.NewScript(transitionSource)

// none stands for a key that a transition doesn't need: it must be of the flow's shard all the same.
const none = "none"

// Redis is the Store in Redis: single, Sentinel or Cluster.
type Redis struct {
	rdb       redis.UniversalClient
	calls     *together // the calls that signals make
	bell      *outbox.Bell
	retention time.Duration
}

var _ Store = (*Redis)(nil)

// New returns a store. bell is rung after something was appended to the outbox; terminal flows are kept for retention.
func New(rdb redis.UniversalClient, bell *outbox.Bell, retention time.Duration) *Redis {
	return &Redis{rdb: rdb, calls: newTogether(rdb), bell: bell, retention: retention}
}

// Apply implements Store.
func (s *Redis) Apply(ctx context.Context, t *Transition) (Result, error) {
	pc, id := t.ParticipantContextID, t.DataFlowID
	names := []string{
		keys.Flow(pc, id), keys.Flows(pc), keys.Outbox(keys.Shard(pc)),
		keys.Tenant(pc, none), keys.Tenant(pc, none), keys.Tenant(pc, none), keys.Due(keys.Shard(pc)),
	}
	request, ttl := "", int64(0)
	if t.Once != nil {
		names[3], request, ttl = keys.TokenID(pc, t.Once.TokenID), t.Once.Request, max(t.Once.TTL.Milliseconds(), 1)
	}
	if d := t.Decided; d != nil {
		names[4] = keys.Record(pc, string(gatewayapi.KindDecision), gatewayapi.AgreementRecordID(d.AgreementID))
		names[5] = keys.Record(pc, string(gatewayapi.KindDataset), d.DatasetID)
	}
	fields, err := fieldsOf(t)
	if err != nil {
		return Result{}, err
	}
	args := make([]any, 0, 23+len(fields)+2*len(t.Effects))
	args = append(args,
		pc, id, string(t.Signal), t.MessageID, t.Fingerprint,
		stateList(t.From), string(t.To), string(t.Role), string(t.Direction), callerOf(t),
		flag(t.New != nil), decided(t.Decided), t.Now.UnixMilli(), s.retention.Milliseconds(), keys.Changes(keys.Shard(pc)),
		t.Reason, t.Answer, request, ttl, drops(t), len(fields), mode(t), within(t),
	)
	args = append(args, fields...)
	for _, e := range t.Effects {
		args = append(args, string(e.Lane), e.Kind)
	}
	raw, err := s.calls.run(ctx, pc, transitionScript, names, args).Slice()
	if err != nil {
		return Result{}, unavailable(err)
	}
	r, err := result(raw)
	if err == nil && r.Outcome == Applied {
		r.Answer = t.Answer // which need not come back from where it was just sent to
		if len(t.Effects) > 0 {
			s.bell.Ring(pc)
		}
	}
	return r, err
}

func result(raw []any) (Result, error) {
	if len(raw) != 5 {
		return Result{}, problem.New(problem.Internal, "the transition script returned %d values", len(raw))
	}
	text := func(i int) string { v, _ := raw[i].(string); return v }
	rev, _ := raw[2].(int64)
	return Result{
		Outcome: Outcome(text(0)), State: dps.State(text(1)), Revision: rev, Answer: []byte(text(3)), Reason: text(4),
	}, nil
}

func stateList(states []dps.State) string {
	var b strings.Builder
	b.WriteByte(',')
	for _, s := range states {
		b.WriteString(string(s))
		b.WriteByte(',')
	}
	return b.String()
}

func flag(b bool) string {
	if b {
		return "1"
	}
	return "0"
}

func decided(d *Decided) string {
	if d != nil && d.Unregistered {
		return "unregistered"
	}
	return flag(d != nil)
}

func mode(t *Transition) string {
	switch {
	case t.Check:
		return "check"
	case t.Amends:
		return "amend"
	}
	return ""
}

// within is in ms. What is less than one is one: 0 would be for ever.
func within(t *Transition) int64 {
	if t.New == nil || t.New.ReportWithin <= 0 {
		return 0
	}
	return max(t.New.ReportWithin.Milliseconds(), 1)
}

func callerOf(t *Transition) string {
	if t.Caller == nil {
		return ""
	}
	return "c" + t.Caller.ControlPlane
}

func drops(t *Transition) string {
	var d []string
	if t.DropAddress {
		d = append(d, "addr")
	}
	if t.DropToken {
		d = append(d, "tok")
	}
	return strings.Join(d, ",")
}

// fieldsOf is what the transition writes beside what the script itself does. The script counts on the order of the first.
func fieldsOf(t *Transition) ([]any, error) {
	var fields []any
	if t.New != nil {
		h, err := headOf(t.New)
		if err != nil {
			return nil, err
		}
		m, err := moreOf(t.New, t.Now)
		if err != nil {
			return nil, err
		}
		fields = append(fields, "head", h, "more", m)
		if t.Caller != nil && t.Caller.ControlPlane != "" {
			fields = append(fields, "cpl", t.Caller.ControlPlane)
		}
	}
	if t.TokenID != "" {
		fields = append(fields, "tok", t.TokenID)
	}
	if t.Address != nil {
		b, err := json.Marshal(t.Address)
		if err != nil {
			return nil, problem.Field("dataAddress", "can't be stored: %w", err)
		}
		fields = append(fields, "addr", b)
	}
	if t.New == nil && len(t.Metadata) > 0 {
		b, err := json.Marshal(t.Metadata)
		if err != nil {
			return nil, problem.Field("metadata", "can't be stored: %w", err)
		}
		fields = append(fields, "meta", b)
	}
	return fields, nil
}

// unavailable makes a problem of an error of Redis. It's a passing failure whatever it is: a full, loading, read-only or
// unreachable Redis is mended by its operator, and the caller then tries again. A script either ran whole or not at all.
func unavailable(err error) error {
	if errors.Is(err, context.Canceled) {
		return problem.Wrap(problem.Timeout, err, "the caller has gone")
	}
	e := problem.Wrap(problem.Unavailable, redisconn.Trouble(err), "the store of data flows can't be reached")
	e.RetryAfter = time.Second
	return e
}
