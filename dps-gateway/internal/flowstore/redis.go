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
	bell      *outbox.Bell
	retention time.Duration
}

var _ Store = (*Redis)(nil)

// New returns a store. bell is rung after something was appended to the outbox; terminal flows are kept for retention.
func New(rdb redis.UniversalClient, bell *outbox.Bell, retention time.Duration) *Redis {
	return &Redis{rdb: rdb, bell: bell, retention: retention}
}

// Apply implements Store.
func (s *Redis) Apply(ctx context.Context, t *Transition) (Result, error) {
	pc, id := t.ParticipantContextID, t.DataFlowID
	names := []string{
		keys.Flow(pc, id), keys.Flows(pc), keys.Outbox(keys.Shard(pc)),
		keys.Tenant(pc, none), keys.Tenant(pc, none), keys.Tenant(pc, none),
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
	args := append([]any{
		pc, id, string(t.Signal), t.MessageID, t.Fingerprint,
		stateList(t.From), string(t.To), string(t.Role), string(t.Direction), t.IfRevision,
		flag(t.New != nil), decided(t.Decided), t.Now.UnixMilli(), s.retention.Milliseconds(), keys.Changes(keys.Shard(pc)),
		t.Reason, string(t.Answer), request, ttl, drops(t), len(fields), mode(t),
	}, fields...)
	for _, e := range t.Effects {
		args = append(args, string(e.Lane), e.Kind)
	}
	raw, err := transitionScript.Run(ctx, s.rdb, names, args...).Slice()
	if err != nil {
		return Result{}, unavailable(err)
	}
	r, err := result(raw)
	if err == nil && r.Outcome == Applied && len(t.Effects) > 0 {
		s.bell.Ring(pc)
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

// fieldsOf is what the transition writes beside what the script itself does.
func fieldsOf(t *Transition) ([]any, error) {
	var fields []any
	add := func(name, value string) {
		if value != "" {
			fields = append(fields, name, value)
		}
	}
	if f := t.New; f != nil {
		add("role", string(f.Role))
		add("dir", string(f.Direction))
		add("prof", f.Profile)
		add("pid", f.ParticipantID)
		add("cp", f.CounterPartyID)
		add("dsc", f.DataspaceContext)
		add("agr", f.AgreementID)
		add("ds", f.DatasetID)
		add("cb", f.CallbackAddress)
		add("hook", f.Hook)
		if f.Promised {
			add("async", "1")
		}
		for name, v := range map[string]any{"claims": f.Claims, "labels": f.Labels, "meta": f.Metadata} {
			if err := addJSON(add, name, v); err != nil {
				return nil, err
			}
		}
	} else if err := addJSON(add, "meta", t.Metadata); err != nil {
		return nil, err
	}
	add("tok", t.TokenID)
	if t.Address != nil {
		b, err := json.Marshal(t.Address)
		if err != nil {
			return nil, problem.Field("dataAddress", "can't be stored: %w", err)
		}
		add("addr", string(b))
	}
	return fields, nil
}

// addJSON adds what is not empty.
func addJSON(add func(name, value string), name string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return problem.Field(name, "can't be stored: %w", err)
	}
	if s := string(b); s != "null" && s != "{}" && s != "[]" {
		add(name, s)
	}
	return nil
}

// unavailable makes a problem of an error of Redis. It's a passing failure whatever it is: a full, loading, read-only or
// unreachable Redis is mended by its operator, and the caller then tries again. A script either ran whole or not at all.
func unavailable(err error) error {
	if errors.Is(err, context.Canceled) {
		return problem.Wrap(problem.Timeout, err, "the caller has gone")
	}
	e := problem.Wrap(problem.Unavailable, err, "the store of data flows can't be reached")
	e.RetryAfter = time.Second
	return e
}
