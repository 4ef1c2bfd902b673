// Package flowstoretest is what every flowstore.Store must do, as a test suite.
package flowstoretest

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"github.com/tidegate/tidegate/dps-gateway/internal/flowstore"
	"github.com/tidegate/tidegate/dps-gateway/internal/keys"
	"github.com/tidegate/tidegate/dps-gateway/internal/outbox"
	"github.com/tidegate/tidegate/eventing/catalogue"
	"github.com/tidegate/tidegate/shared/dps"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/problem"
)

// Suite is a store under test, and the Redis below it.
type Suite struct {
	Store flowstore.Store
	Redis redis.UniversalClient
}

// at is when the suite's transitions happen.
var at = time.UnixMilli(1_795_500_000_123).UTC()

// NewFlow makes a flow of a tenant.
func NewFlow(pc, id string, role dps.Role) *flowstore.Flow {
	return &flowstore.Flow{Flow: gatewayapi.Flow{
		ParticipantContextID: pc, DataFlowID: id, Role: role, Direction: dps.Pull, Profile: dps.ProfileHTTPPull,
		ParticipantID: "did:web:us", CounterPartyID: "did:web:them", DataspaceContext: "ds", AgreementID: "agr-" + id, DatasetID: "ds-" + id,
		Claims: map[string]any{"client_id": "them"}, Labels: []string{"eu"}, Metadata: map[string]any{"n": "1"},
	}}
}

// Create is the transition that makes a flow.
func Create(pc, id string, role dps.Role) *flowstore.Transition {
	t := &flowstore.Transition{
		ParticipantContextID: pc, DataFlowID: id, New: NewFlow(pc, id, role), MessageID: "m1", Fingerprint: "f1", Now: at,
		Answer: []byte(`{"first":true}`), Signal: flowstore.Prepare, To: dps.Prepared,
		Effects: []flowstore.Effect{{Lane: outbox.LaneEvent, Kind: catalogue.DataFlowPrepared}},
	}
	if role == dps.Provider {
		t.Signal, t.To, t.TokenID = flowstore.Start, dps.Started, "tok-1"
		t.Effects[0].Kind = catalogue.DataFlowStarted
	}
	return t
}

// Move is a transition of a flow that is there.
func Move(pc, id string, signal flowstore.Signal, messageID string, to dps.State, from ...dps.State) *flowstore.Transition {
	return &flowstore.Transition{
		ParticipantContextID: pc, DataFlowID: id, Signal: signal, MessageID: messageID, Fingerprint: "f-" + string(signal),
		From: from, To: to, Now: at.Add(time.Second), Answer: []byte(`{"answer":"` + messageID + `"}`),
		Effects: []flowstore.Effect{{Lane: outbox.LaneEvent, Kind: "type-" + string(signal)}},
	}
}

// Decide stores a decision and a dataset as the records package does.
func Decide(t *testing.T, rdb redis.UniversalClient, pc, agreement string, verdict gatewayapi.Verdict, datasetID, counterParty string, withdrawn bool) {
	t.Helper()
	ctx := t.Context()
	if verdict != "" {
		must(t, rdb.HSet(ctx, recordKey(pc, gatewayapi.KindDecision, gatewayapi.AgreementRecordID(agreement)),
			"rev", "1", "doc", "{}", "verdict", string(verdict), "dataset", datasetID, "counterparty", counterParty, "reason", "because").Err())
	}
	w := "0"
	if withdrawn {
		w = "1"
	}
	must(t, rdb.HSet(ctx, recordKey(pc, gatewayapi.KindDataset, datasetID), "rev", "1", "doc", "{}", "withdrawn", w, "sha256", "abc").Err())
}

func recordKey(pc string, kind gatewayapi.Kind, id string) string {
	return keys.Record(pc, string(kind), id)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Entries reads what is in the outbox of a tenant's shard.
func Entries(ctx context.Context, t *testing.T, rdb redis.UniversalClient, pc string) []outbox.Entry {
	t.Helper()
	msgs, err := rdb.XRange(ctx, keys.Outbox(keys.Shard(pc)), "-", "+").Result()
	must(t, err)
	var out []outbox.Entry
	for _, m := range msgs {
		fields := map[string]string{}
		for k, v := range m.Values {
			fields[k], _ = v.(string)
		}
		if e := outbox.Decode(m.ID, fields); e.PC == pc {
			out = append(out, e)
		}
	}
	return out
}

// Run runs the suite.
func Run(t *testing.T, s Suite) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, Suite, string){
		"a flow that was made is read back whole, and its event is in the outbox":     created,
		"the same message again gets the first answer and changes nothing":            replayed,
		"the same content under a new message id is a repeat until something happens": retried,
		"another message for a process that has a flow is refused":                    exists,
		"a signal that the state does not allow changes nothing":                      wrongState,
		"only the last 32 messages are remembered":                                    forgets,
		"a provider's start needs dataset and approving decision":                     decided,
		"a token is good for one request and for the same again":                      once,
		"a flow is of the control plane that made it":                                 caller,
		"an ended flow leaves the index, loses its secrets and is kept for a while":   ended,
		"listing pages through all flows of one tenant by id":                         listed,
		"a data address is stored, read alone and replaced":                           address,
		"a flow of another tenant is not found":                                       foreign,
		"leaving STARTED is told to those who watch":                                  watched,
		"asking whether a signal may be changes nothing":                              checked,
		"a function's dataset need not be registered, but decided":                    unregistered,
		"a kept promise answers the first message too, and a hook hears of the end":   reported,
		"a flow waits for a report for a bounded time":                                awaited,
	} {
		t.Run(name, func(t *testing.T) { test(t, s, "t-"+uuid.NewString()) })
	}
}

func apply(t *testing.T, s Suite, tr *flowstore.Transition) flowstore.Result {
	t.Helper()
	r, err := s.Store.Apply(t.Context(), tr)
	must(t, err)
	return r
}

func want(t *testing.T, got flowstore.Result, outcome flowstore.Outcome, state dps.State) {
	t.Helper()
	if got.Outcome != outcome || got.State != state {
		t.Fatalf("outcome %q in state %q, want %q in %q", got.Outcome, got.State, outcome, state)
	}
}

func created(t *testing.T, s Suite, pc string) {
	t.Helper()
	r := apply(t, s, Create(pc, "a", dps.Consumer))
	want(t, r, flowstore.Applied, dps.Prepared)
	f, err := s.Store.Get(t.Context(), pc, "a")
	must(t, err)
	exp := NewFlow(pc, "a", dps.Consumer)
	exp.State, exp.Revision, exp.CreatedAt, exp.UpdatedAt = dps.Prepared, 1, at, at
	if d := cmp.Diff(exp, f); d != "" {
		t.Error(d)
	}
	entries := Entries(t.Context(), t, s.Redis, pc)
	if len(entries) != 1 {
		t.Fatalf("%d entries in the outbox, want 1", len(entries))
	}
	entries[0].ID = ""
	if d := cmp.Diff(outbox.Entry{
		PC: pc, Lane: outbox.LaneEvent, Kind: catalogue.DataFlowPrepared, Subject: "a", State: dps.Prepared,
		Role: dps.Consumer, Direction: dps.Pull, Profile: dps.ProfileHTTPPull, CounterPartyID: "did:web:them", AgreementID: "agr-a",
		DatasetID: "ds-a", Revision: 1, At: at,
	}, entries[0]); d != "" {
		t.Error(d)
	}
}

func replayed(t *testing.T, s Suite, pc string) {
	t.Helper()
	apply(t, s, Create(pc, "a", dps.Provider))
	apply(t, s, Move(pc, "a", flowstore.Suspend, "m2", dps.Suspended, dps.Started))
	again := Create(pc, "a", dps.Provider)
	again.Answer = []byte("another")
	r := apply(t, s, again)
	want(t, r, flowstore.Replayed, dps.Suspended)
	if string(r.Answer) != `{"first":true}` || r.Revision != 2 {
		t.Errorf("answer %s at revision %d", r.Answer, r.Revision)
	}
	if n := len(Entries(t.Context(), t, s.Redis, pc)); n != 2 {
		t.Errorf("%d entries, want 2", n)
	}
}

func retried(t *testing.T, s Suite, pc string) {
	t.Helper()
	apply(t, s, Create(pc, "a", dps.Provider))
	retry := Create(pc, "a", dps.Provider)
	retry.MessageID = "m1-again"
	want(t, apply(t, s, retry), flowstore.Replayed, dps.Started)
	apply(t, s, Move(pc, "a", flowstore.Suspend, "m2", dps.Suspended, dps.Started))
	retry.MessageID = "m1-late"
	want(t, apply(t, s, retry), flowstore.Exists, dps.Suspended)
	// Without ids, as EDC sends completed.
	apply(t, s, Move(pc, "a", flowstore.Resume, "m3", dps.Started, dps.Suspended))
	want(t, apply(t, s, Move(pc, "a", flowstore.Completed, "", dps.Completed, dps.Started)), flowstore.Applied, dps.Completed)
	want(t, apply(t, s, Move(pc, "a", flowstore.Completed, "", dps.Completed, dps.Started)), flowstore.Replayed, dps.Completed)
}

func exists(t *testing.T, s Suite, pc string) {
	t.Helper()
	apply(t, s, Create(pc, "a", dps.Provider))
	for name, change := range map[string]func(*flowstore.Transition){
		"another message":                     func(c *flowstore.Transition) { c.MessageID, c.Fingerprint = "m9", "f9" },
		"the same id with other content":      func(c *flowstore.Transition) { c.Fingerprint = "f9" },
		"the same id and content, as prepare": func(c *flowstore.Transition) { c.Signal = flowstore.Prepare },
	} {
		c := Create(pc, "a", dps.Provider)
		change(c)
		if r := apply(t, s, c); r.Outcome != flowstore.Exists {
			t.Errorf("%s: %s", name, r.Outcome)
		}
	}
	if n := len(Entries(t.Context(), t, s.Redis, pc)); n != 1 {
		t.Errorf("%d entries, want 1", n)
	}
}

func wrongState(t *testing.T, s Suite, pc string) {
	t.Helper()
	want(t, apply(t, s, Move(pc, "a", flowstore.Suspend, "m", dps.Suspended, dps.Started)), flowstore.Unknown, "")
	apply(t, s, Create(pc, "a", dps.Consumer))
	want(t, apply(t, s, Move(pc, "a", flowstore.Suspend, "m", dps.Suspended, dps.Started)), flowstore.WrongState, dps.Prepared)
	m := Move(pc, "a", flowstore.NotifyOn, "m", dps.Started, dps.Prepared)
	m.Role = dps.Provider
	want(t, apply(t, s, m), flowstore.WrongRole, dps.Prepared)
	m.Role, m.Direction = dps.Consumer, dps.Push
	want(t, apply(t, s, m), flowstore.WrongWay, dps.Prepared)
	f, err := s.Store.Get(t.Context(), pc, "a")
	must(t, err)
	if f.Revision != 1 || len(Entries(t.Context(), t, s.Redis, pc)) != 1 {
		t.Errorf("a refusal left revision %d", f.Revision)
	}
}

func forgets(t *testing.T, s Suite, pc string) {
	t.Helper()
	apply(t, s, Create(pc, "a", dps.Provider))
	for i := range 40 {
		n := string(rune('A' + i))
		apply(t, s, Move(pc, "a", flowstore.Suspend, "s"+n, dps.Suspended, dps.Started))
		apply(t, s, Move(pc, "a", flowstore.Resume, "r"+n, dps.Started, dps.Suspended))
	}
	n, err := s.Redis.HLen(t.Context(), keys.Flow(pc, "a")).Result()
	must(t, err)
	if n > 100 {
		t.Errorf("a flow after 81 messages has %d fields", n)
	}
	want(t, apply(t, s, Move(pc, "a", flowstore.Suspend, "s"+string(rune('A'+39)), dps.Suspended, dps.Started)), flowstore.Replayed, dps.Started)
}

func decided(t *testing.T, s Suite, pc string) {
	t.Helper()
	start := func(id string) flowstore.Result {
		c := Create(pc, id, dps.Provider)
		c.Decided = &flowstore.Decided{AgreementID: c.New.AgreementID, DatasetID: c.New.DatasetID}
		return apply(t, s, c)
	}
	for _, c := range []struct {
		id        string
		verdict   gatewayapi.Verdict
		dataset   string
		cp        string
		withdrawn bool
		want      flowstore.Outcome
	}{
		{id: "u", dataset: "ds-u", want: flowstore.Undecided},
		{id: "r", verdict: gatewayapi.Rejected, dataset: "ds-r", cp: "did:web:them", want: flowstore.Rejected},
		{id: "v", verdict: gatewayapi.Review, dataset: "ds-v", cp: "did:web:them", want: flowstore.InReview},
		{id: "d", verdict: gatewayapi.Approved, dataset: "ds-other", cp: "did:web:them", want: flowstore.NoDataset},
		{id: "c", verdict: gatewayapi.Approved, dataset: "ds-c", cp: "did:web:stranger", want: flowstore.Rejected},
		{id: "w", verdict: gatewayapi.Approved, dataset: "ds-w", cp: "did:web:them", withdrawn: true, want: flowstore.Withdrawn},
	} {
		Decide(t, s.Redis, pc, "agr-"+c.id, c.verdict, c.dataset, c.cp, c.withdrawn)
		if r := start(c.id); r.Outcome != c.want {
			t.Errorf("%s: %s, want %s", c.id, r.Outcome, c.want)
		}
		if _, err := s.Store.Get(t.Context(), pc, c.id); !problem.Is(err, problem.NotFound) {
			t.Errorf("%s: a refused start left a flow: %v", c.id, err)
		}
	}
	// A decision about another dataset than the one that is started.
	Decide(t, s.Redis, pc, "agr-x", gatewayapi.Approved, "ds-y", "did:web:them", false)
	Decide(t, s.Redis, pc, "agr-none", "", "ds-x", "", false)
	if r := start("x"); r.Outcome != flowstore.Rejected {
		t.Errorf("another dataset: %s", r.Outcome)
	}
	Decide(t, s.Redis, pc, "agr-ok", gatewayapi.Approved, "ds-ok", "did:web:them", false)
	want(t, start("ok"), flowstore.Applied, dps.Started)
	l, err := s.Store.Live(t.Context(), pc, "ok")
	must(t, err)
	if d := cmp.Diff(flowstore.LiveFlow{
		State: dps.Started, Role: dps.Provider, Direction: dps.Pull, Profile: dps.ProfileHTTPPull, TokenID: "tok-1", AgreementID: "agr-ok",
		DatasetID: "ds-ok", DatasetVersion: "abc", CounterPartyID: "did:web:them", Revision: 1,
	}, l); d != "" {
		t.Error(d)
	}
}

func once(t *testing.T, s Suite, pc string) {
	t.Helper()
	c := Create(pc, "a", dps.Provider)
	c.Once = &flowstore.Once{TokenID: "jti", Request: "r1", TTL: time.Minute}
	want(t, apply(t, s, c), flowstore.Applied, dps.Started)
	want(t, apply(t, s, c), flowstore.Replayed, dps.Started)
	m := Move(pc, "a", flowstore.Suspend, "m2", dps.Suspended, dps.Started)
	m.Once = &flowstore.Once{TokenID: "jti", Request: "r2", TTL: time.Minute}
	want(t, apply(t, s, m), flowstore.TokenReused, "")
	_, ok, err := s.Store.GetOnce(t.Context(), pc, "a", &flowstore.Once{TokenID: "jti", Request: "r3", TTL: time.Minute})
	must(t, err)
	if ok {
		t.Error("a read with a token that was used is allowed")
	}
	f, ok, err := s.Store.GetOnce(t.Context(), pc, "a", &flowstore.Once{TokenID: "jti2", Request: "r3", TTL: time.Minute})
	if err != nil || !ok || f.State != dps.Started {
		t.Errorf("a read with a fresh token: %v %v", ok, err)
	}
	if ttl := s.Redis.PTTL(t.Context(), keys.TokenID(pc, "jti")).Val(); ttl <= 0 || ttl > time.Minute {
		t.Errorf("the token's mark is kept for %v", ttl)
	}
}

func ended(t *testing.T, s Suite, pc string) {
	t.Helper()
	apply(t, s, Create(pc, "a", dps.Provider))
	m := Move(pc, "a", flowstore.Terminate, "m2", dps.Terminated, dps.Started)
	m.Reason, m.DropAddress, m.DropToken, m.Address = "enough", true, true, nil
	want(t, apply(t, s, m), flowstore.Applied, dps.Terminated)
	page, err := s.Store.List(t.Context(), pc, "", 10)
	must(t, err)
	if len(page.Items) != 0 {
		t.Errorf("an ended flow is listed")
	}
	l, err := s.Store.Live(t.Context(), pc, "a")
	if err != nil || l.State != dps.Terminated || l.TokenID != "" {
		t.Errorf("live: %+v %v", l, err)
	}
	if ttl := s.Redis.PTTL(t.Context(), keys.Flow(pc, "a")).Val(); ttl <= 0 {
		t.Errorf("an ended flow is kept for %v", ttl)
	}
	f, err := s.Store.Get(t.Context(), pc, "a")
	if err != nil || f.Reason != "enough" || f.TokenID != "" {
		t.Errorf("%+v %v", f, err)
	}
}

func listed(t *testing.T, s Suite, pc string) {
	t.Helper()
	exp := []string{}
	for i := range 25 {
		id := "flow-" + string(rune('a'+i))
		exp = append(exp, id)
		apply(t, s, Create(pc, id, dps.Consumer))
	}
	apply(t, s, Create(pc+"x", "stranger", dps.Consumer))
	var got []string
	after := ""
	for {
		page, err := s.Store.List(t.Context(), pc, after, 10)
		must(t, err)
		for _, f := range page.Items {
			got = append(got, f.DataFlowID)
		}
		if page.Next == "" {
			break
		}
		after = page.Next
	}
	if d := cmp.Diff(exp, got); d != "" {
		t.Error(d)
	}
}

func address(t *testing.T, s Suite, pc string) {
	t.Helper()
	apply(t, s, Create(pc, "a", dps.Consumer))
	if _, err := s.Store.Address(t.Context(), pc, "a"); !problem.Is(err, problem.NotFound) {
		t.Errorf("no address yet: %v", err)
	}
	for i, token := range []string{"one", "two"} {
		m := Move(pc, "a", flowstore.NotifyOn, token, dps.Started, dps.Prepared, dps.Started)
		m.Fingerprint = token
		m.Address = dps.NewBearerAddress(dps.ProfileHTTPPull, "https://them/data/a", token)
		want(t, apply(t, s, m), flowstore.Applied, dps.Started)
		got, err := s.Store.Address(t.Context(), pc, "a")
		must(t, err)
		if got.Property(dps.PropertyAuthorization) != token {
			t.Errorf("address %d is another", i)
		}
	}
	for _, e := range Entries(t.Context(), t, s.Redis, pc) {
		b, err := json.Marshal(e.Fields())
		must(t, err)
		if string(b) == "" || containsAny(string(b), "https://them", "two") {
			t.Errorf("an address is in the outbox: %s", b)
		}
	}
}

func containsAny(s string, subs ...string) bool {
	for _, sub := range subs {
		for i := 0; i+len(sub) <= len(s); i++ {
			if s[i:i+len(sub)] == sub {
				return true
			}
		}
	}
	return false
}

func foreign(t *testing.T, s Suite, pc string) {
	t.Helper()
	apply(t, s, Create(pc, "a", dps.Consumer))
	other := pc + "x"
	if _, err := s.Store.Get(t.Context(), other, "a"); !problem.Is(err, problem.NotFound) {
		t.Errorf("get: %v", err)
	}
	if _, err := s.Store.Live(t.Context(), other, "a"); !problem.Is(err, problem.NotFound) {
		t.Errorf("live: %v", err)
	}
	if r := apply(t, s, Move(other, "a", flowstore.Terminate, "m", dps.Terminated, dps.Prepared)); r.Outcome != flowstore.Unknown {
		t.Errorf("terminate: %v", r.Outcome)
	}
	ls, err := s.Store.LiveMany(t.Context(), []flowstore.Ref{{ParticipantContextID: pc, DataFlowID: "a"}, {ParticipantContextID: other, DataFlowID: "a"}})
	if err != nil || len(ls) != 2 || ls[0].State != dps.Prepared || ls[1].State != "" {
		t.Errorf("live many: %+v %v", ls, err)
	}
}

func watched(t *testing.T, s Suite, pc string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	changes := s.Store.Watch(ctx)
	if c := <-changes; !c.Recheck {
		t.Fatalf("the first is %+v, want a recheck once the subscription stands", c)
	}
	apply(t, s, Create(pc, "a", dps.Provider))
	apply(t, s, Move(pc, "a", flowstore.Suspend, "m2", dps.Suspended, dps.Started))
	must(t, flowstore.PublishDataset(ctx, s.Redis, pc, "ds-a"))
	seen := map[string]bool{}
	for c := range changes {
		if c.ParticipantContextID != pc {
			continue
		}
		if c.DataFlowID == "a" && c.State == dps.Suspended {
			seen["suspended"] = true
		}
		if c.DatasetID == "ds-a" {
			seen["dataset"] = true
		}
		if len(seen) == 2 {
			cancel()
			return
		}
	}
	t.Fatalf("changes were not told, only %v", seen)
}
