package flowstoretest

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/tidegate/tidegate/dps-gateway/internal/flowstore"
	"github.com/tidegate/tidegate/dps-gateway/internal/keys"
	"github.com/tidegate/tidegate/dps-gateway/internal/outbox"
	"github.com/tidegate/tidegate/eventing/catalogue"
	"github.com/tidegate/tidegate/shared/dps"
	"github.com/tidegate/tidegate/shared/gatewayapi"
)

// hooked is a provider's start of a flow that a function serves, promised for later.
func hooked(pc, id string) *flowstore.Transition {
	t := Create(pc, id, dps.Provider)
	t.New.Profile, t.New.Hook, t.New.Promised = "nats-pull", "nats-stream", true
	t.To, t.TokenID, t.Effects, t.Answer = dps.Starting, "", nil, []byte(`{"state":"STARTING"}`)
	return t
}

func hookEffect(kind gatewayapi.HookKind) flowstore.Effect {
	return flowstore.Effect{Lane: outbox.LaneHook, Kind: string(kind)}
}

func checked(t *testing.T, s Suite, pc string) {
	t.Helper()
	tr := Create(pc, "a", dps.Provider)
	tr.Check = true
	want(t, apply(t, s, tr), flowstore.Allowed, "")
	tr.Decided = &flowstore.Decided{AgreementID: "agr-a", DatasetID: "ds-a"}
	want(t, apply(t, s, tr), flowstore.NoDataset, "")
	if _, err := s.Store.Get(t.Context(), pc, "a"); err == nil {
		t.Error("asking has made the flow")
	}
	tr.Check, tr.Decided = false, nil
	want(t, apply(t, s, tr), flowstore.Applied, dps.Started)
	tr.Check = true
	r := apply(t, s, tr)
	want(t, r, flowstore.Replayed, dps.Started)
	if string(r.Answer) != `{"first":true}` {
		t.Errorf("answer %s", r.Answer)
	}
	move := Move(pc, "a", flowstore.Resume, "m2", dps.Started, dps.Suspended)
	move.Check = true
	want(t, apply(t, s, move), flowstore.WrongState, dps.Started)
	move.From = []dps.State{dps.Started}
	want(t, apply(t, s, move), flowstore.Allowed, dps.Started)
	if n := len(Entries(t.Context(), t, s.Redis, pc)); n != 1 {
		t.Errorf("%d entries in the outbox, want 1", n)
	}
}

func unregistered(t *testing.T, s Suite, pc string) {
	t.Helper()
	start := func() flowstore.Result {
		tr := hooked(pc, "a")
		tr.Decided = &flowstore.Decided{AgreementID: "agr-a", DatasetID: "ds-a", Unregistered: true}
		return apply(t, s, tr)
	}
	want(t, start(), flowstore.Undecided, "")
	Decide(t, s.Redis, pc, "agr-a", gatewayapi.Approved, "ds-a", "did:web:them", true)
	want(t, start(), flowstore.Withdrawn, "")
	Decide(t, s.Redis, pc, "agr-a", gatewayapi.Rejected, "other", "did:web:them", false)
	must(t, s.Redis.Del(t.Context(), recordKey(pc, gatewayapi.KindDataset, "ds-a")).Err())
	want(t, start(), flowstore.Rejected, "")
	Decide(t, s.Redis, pc, "agr-a", gatewayapi.Approved, "ds-a", "did:web:them", false)
	must(t, s.Redis.Del(t.Context(), recordKey(pc, gatewayapi.KindDataset, "ds-a")).Err())
	want(t, start(), flowstore.Applied, dps.Starting)
}

// reported is a promise that is kept: the answer is then that of the first message too, and the hook is told of the end.
func reported(t *testing.T, s Suite, pc string) {
	t.Helper()
	start := hooked(pc, "a")
	want(t, apply(t, s, start), flowstore.Applied, dps.Starting)
	f, err := s.Store.Get(t.Context(), pc, "a")
	must(t, err)
	if f.Hook != "nats-stream" || !f.Promised {
		t.Errorf("hook %q, promised %v", f.Hook, f.Promised)
	}
	report := Move(pc, "a", flowstore.ReportStarted, "r", dps.Started, dps.Starting)
	report.Amends, report.Answer, report.Metadata = true, []byte(`{"state":"STARTED"}`), map[string]any{"stream": "S"}
	report.Effects = []flowstore.Effect{
		{Lane: outbox.LaneEvent, Kind: catalogue.DataFlowStarted}, {Lane: outbox.LaneCallback, Kind: string(outbox.CallbackStarted)},
	}
	want(t, apply(t, s, report), flowstore.Applied, dps.Started)
	start.MessageID = "m1"
	r := apply(t, s, start)
	want(t, r, flowstore.Replayed, dps.Started)
	answer, err := s.Store.FirstAnswer(t.Context(), pc, "a")
	must(t, err)
	if string(r.Answer) != `{"state":"STARTED"}` || string(answer) != string(r.Answer) {
		t.Errorf("the first message is answered %s, and %s is kept", r.Answer, answer)
	}
	f, err = s.Store.Get(t.Context(), pc, "a")
	must(t, err)
	if d := cmp.Diff(map[string]any{"stream": "S"}, f.Metadata); d != "" {
		t.Error(d)
	}
	end := Move(pc, "a", flowstore.Terminate, "m3", dps.Terminated, dps.Started)
	end.Effects, end.Reason = append(end.Effects, hookEffect(gatewayapi.HookTerminate)), "enough"
	want(t, apply(t, s, end), flowstore.Applied, dps.Terminated)
	entries := Entries(t.Context(), t, s.Redis, pc)
	last := entries[len(entries)-1]
	if last.Lane != outbox.LaneHook || last.Kind != string(gatewayapi.HookTerminate) || last.Hook != "nats-stream" || last.Revision != 3 || last.Reason != "enough" {
		t.Errorf("the hook is told %+v", last)
	}

	plain := Create(pc, "b", dps.Provider)
	plain.Effects = append(plain.Effects, hookEffect(gatewayapi.HookStart))
	before := len(entries)
	want(t, apply(t, s, plain), flowstore.Applied, dps.Started)
	if n := len(Entries(t.Context(), t, s.Redis, pc)) - before; n != 1 {
		t.Errorf("%d entries for a flow without a hook, want its event alone", n)
	}
}

// awaited is a flow that waits for a report for a bounded time: it falls due once, and not if it has come to something before.
func awaited(t *testing.T, s Suite, pc string) {
	t.Helper()
	start := func(id string, within time.Duration) {
		t.Helper()
		tr := hooked(pc, id)
		tr.New.ReportWithin, tr.Check = within, true
		want(t, apply(t, s, tr), flowstore.Allowed, "")
		tr.Check = false
		want(t, apply(t, s, tr), flowstore.Applied, dps.Starting)
		want(t, apply(t, s, tr), flowstore.Replayed, dps.Starting)
	}
	overdue := func() (ids []string) {
		t.Helper()
		_, err := outbox.FallDue(t.Context(), s.Redis, []int{keys.Shard(pc)})
		must(t, err)
		for _, e := range Entries(t.Context(), t, s.Redis, pc) {
			if e.Lane == outbox.LaneOverdue {
				ids = append(ids, e.Subject)
			}
		}
		return ids
	}
	start("waits", time.Hour)
	f, err := s.Store.Get(t.Context(), pc, "waits")
	must(t, err)
	if f.ReportWithin != time.Hour {
		t.Errorf("it may wait for %v", f.ReportWithin)
	}
	for _, id := range []string{"reported", "terminated", "errored", "for:ever"} {
		start(id, time.Hour)
	}
	want(t, apply(t, s, Move(pc, "reported", flowstore.ReportStarted, "r", dps.Started, dps.Starting)), flowstore.Applied, dps.Started)
	want(t, apply(t, s, Move(pc, "terminated", flowstore.Terminate, "r", dps.Terminated, dps.Starting)), flowstore.Applied, dps.Terminated)
	want(t, apply(t, s, Move(pc, "errored", flowstore.Errored, "r", "", dps.Starting)), flowstore.Applied, dps.Starting)
	want(t, apply(t, s, Create(pc, "asks nobody", dps.Provider)), flowstore.Applied, dps.Started)
	if ids := overdue(); len(ids) > 0 {
		t.Errorf("due at once: %q", ids)
	}
	Expire(t, s.Redis, pc)
	start("at once", time.Nanosecond)
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		ids := overdue()
		if cmp.Equal(ids, []string{"errored", "for:ever", "waits", "at once"}) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("due are %q", ids)
		}
	}
}

// Expire has the time of all flows of a tenant's shard pass that wait for a report.
func Expire(t *testing.T, rdb redis.UniversalClient, pc string) {
	t.Helper()
	due := keys.Due(keys.Shard(pc))
	members, err := rdb.ZRange(t.Context(), due, 0, -1).Result()
	must(t, err)
	for _, m := range members {
		must(t, rdb.ZAdd(t.Context(), due, redis.Z{Score: 1, Member: m}).Err())
	}
}
