package flowstore

import (
	"context"
	_ "embed"
	"encoding/json"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tidegate/tidegate/dps-gateway/internal/keys"
	"github.com/tidegate/tidegate/shared/dps"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/problem"
)

//go:embed getonce.lua
var getOnceSource string

var getOnceScript = redis.NewScript(getOnceSource)

// The fields of a flow that reads need. Data address and remembered answers are not among them.
var (
	viewFields = []string{"state", "step", "head", "more", "tok", "meta", "cpl"}
	liveFields = []string{"state", "step", "head", "tok", "ptok", "dsver"}
)

// Get implements Store.
func (s *Redis) Get(ctx context.Context, pc, id string) (*Flow, error) {
	v, err := s.rdb.HMGet(ctx, keys.Flow(pc, id), viewFields...).Result()
	if err != nil {
		return nil, unavailable(err)
	}
	return flowOf(pc, id, v)
}

// Owner is the control plane that made a flow: "" for the one of the tenant's document, or if there is no such flow any more.
func (s *Redis) Owner(ctx context.Context, pc, id string) (string, error) {
	owner, err := s.rdb.HGet(ctx, keys.Flow(pc, id), "cpl").Result()
	if err != nil && err != redis.Nil { //nolint:errorlint // go-redis documents Nil as a plain sentinel
		return "", unavailable(err)
	}
	return owner, nil
}

// Ended tells whether a flow has come to its end since it had a revision. One that is not kept any more has.
func (s *Redis) Ended(ctx context.Context, pc, id string, after int64) (bool, error) {
	v, err := s.rdb.HMGet(ctx, keys.Flow(pc, id), "state", "step").Result()
	if err != nil {
		return false, unavailable(err)
	}
	state := dps.State(text(v, 0))
	return state == "" || (state.Terminal() && readStep(text(v, 1)).revision > after), nil
}

// GetOnce implements Store.
func (s *Redis) GetOnce(ctx context.Context, pc, id string, once *Once) (*Flow, bool, error) {
	if once == nil {
		f, err := s.Get(ctx, pc, id)
		return f, true, err
	}
	args := []any{once.Request, max(once.TTL.Milliseconds(), 1)}
	for _, f := range viewFields {
		args = append(args, f)
	}
	names := []string{keys.Flow(pc, id), keys.TokenID(pc, once.TokenID)}
	v, err := s.calls.run(ctx, pc, getOnceScript, names, args).Slice()
	if err != nil {
		return nil, false, unavailable(err)
	}
	if len(v) == 0 {
		return nil, false, nil
	}
	f, err := flowOf(pc, id, v)
	return f, true, err
}

// Address implements Store.
func (s *Redis) Address(ctx context.Context, pc, id string) (*dps.DataAddress, error) {
	raw, err := s.rdb.HGet(ctx, keys.Flow(pc, id), "addr").Bytes()
	if err == redis.Nil { //nolint:errorlint // go-redis documents Nil as a plain sentinel
		return nil, problem.New(problem.NotFound, "no data address of a data flow %q", id)
	}
	if err != nil {
		return nil, unavailable(err)
	}
	var a dps.DataAddress
	if err := json.Unmarshal(raw, &a); err != nil {
		return nil, problem.Wrap(problem.Internal, err, "the stored data address")
	}
	return &a, nil
}

// FirstAnswer implements Store.
func (s *Redis) FirstAnswer(ctx context.Context, pc, id string) ([]byte, error) {
	raw, err := s.rdb.HGet(ctx, keys.Flow(pc, id), "a:1").Result()
	if err == redis.Nil { //nolint:errorlint // go-redis documents Nil as a plain sentinel
		return nil, problem.New(problem.NotFound, "no answer of a data flow %q is kept", id)
	}
	if err != nil {
		return nil, unavailable(err)
	}
	_, answer, _ := strings.Cut(raw, "\n")
	return []byte(answer), nil
}

// List implements Store. The index and the flows are read in one round trip each.
func (s *Redis) List(ctx context.Context, pc, after string, limit int) (gatewayapi.Page[gatewayapi.Flow], error) {
	page := gatewayapi.Page[gatewayapi.Flow]{Items: []gatewayapi.Flow{}}
	low := "-"
	if after != "" {
		low = "(" + after
	}
	ids, err := s.rdb.ZRangeByLex(ctx, keys.Flows(pc), &redis.ZRangeBy{Min: low, Max: "+", Count: int64(limit)}).Result()
	if err != nil {
		return page, unavailable(err)
	}
	if len(ids) == 0 {
		return page, nil
	}
	found := make([]*redis.SliceCmd, len(ids))
	if _, err := s.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, id := range ids {
			found[i] = p.HMGet(ctx, keys.Flow(pc, id), viewFields...)
		}
		return nil
	}); err != nil {
		return page, unavailable(err)
	}
	for i, id := range ids {
		f, err := flowOf(pc, id, found[i].Val())
		if problem.Is(err, problem.NotFound) || (err == nil && f.State.Terminal()) {
			continue // it ended in between
		}
		if err != nil {
			return page, err
		}
		page.Items = append(page.Items, f.Flow)
	}
	if len(ids) == limit {
		page.Next = ids[len(ids)-1]
	}
	return page, nil
}

// Live implements Store.
func (s *Redis) Live(ctx context.Context, pc, id string) (LiveFlow, error) {
	v, err := s.rdb.HMGet(ctx, keys.Flow(pc, id), liveFields...).Result()
	if err != nil {
		return LiveFlow{}, unavailable(err)
	}
	l := liveOf(v)
	if l.State == "" {
		return LiveFlow{}, unknown(id)
	}
	return l, nil
}

// LiveMany implements Store.
func (s *Redis) LiveMany(ctx context.Context, refs []Ref) ([]LiveFlow, error) {
	if len(refs) == 0 {
		return nil, nil
	}
	found := make([]*redis.SliceCmd, len(refs))
	if _, err := s.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, r := range refs {
			found[i] = p.HMGet(ctx, keys.Flow(r.ParticipantContextID, r.DataFlowID), liveFields...)
		}
		return nil
	}); err != nil {
		return nil, unavailable(err)
	}
	out := make([]LiveFlow, len(refs))
	for i, c := range found {
		out[i] = liveOf(c.Val())
	}
	return out, nil
}

func unknown(id string) error { return problem.New(problem.NotFound, "no data flow %q", id) }

// text returns the value at i of a reply of HMGET, "" for one that is absent.
func text(v []any, i int) string {
	s, _ := v[i].(string)
	return s
}

func liveOf(v []any) LiveFlow {
	var f gatewayapi.Flow
	if len(v) != len(liveFields) || text(v, 0) == "" || !readHead(text(v, 2), &f) {
		return LiveFlow{}
	}
	return LiveFlow{
		State: dps.State(text(v, 0)), Revision: readStep(text(v, 1)).revision, Role: f.Role, Direction: f.Direction, Profile: f.Profile,
		TokenID: text(v, 3), PreviousTokenID: text(v, 4), AgreementID: f.AgreementID, DatasetID: f.DatasetID, DatasetVersion: text(v, 5),
		CounterPartyID: f.CounterPartyID,
	}
}

func flowOf(pc, id string, v []any) (*Flow, error) {
	if len(v) != len(viewFields) || text(v, 0) == "" {
		return nil, unknown(id)
	}
	st := readStep(text(v, 1))
	f := &Flow{
		Flow: gatewayapi.Flow{
			ParticipantContextID: pc, DataFlowID: id, State: dps.State(text(v, 0)), Revision: st.revision, Reason: st.reason,
			UpdatedAt: time.UnixMilli(st.at).UTC(),
		},
		TokenID: text(v, 4), ControlPlane: text(v, 6),
	}
	if !readHead(text(v, 2), &f.Flow) {
		return nil, problem.New(problem.Internal, "the stored data flow %q can't be read", id)
	}
	var m more
	if err := json.Unmarshal([]byte(text(v, 3)), &m); err != nil {
		return nil, problem.Wrap(problem.Internal, err, "the stored data flow %q", id)
	}
	f.ParticipantID, f.DataspaceContext, f.Promised = m.ParticipantID, m.DataspaceContext, m.Promised
	f.ReportWithin = time.Duration(m.Within) * time.Millisecond
	f.Claims, f.Labels, f.Metadata, f.CreatedAt = m.Claims, m.Labels, m.Metadata, time.UnixMilli(m.Created).UTC()
	if later := text(v, 5); later != "" {
		f.Metadata = nil
		if err := json.Unmarshal([]byte(later), &f.Metadata); err != nil {
			return nil, problem.Wrap(problem.Internal, err, "the stored metadata of the data flow %q", id)
		}
	}
	return f, nil
}
