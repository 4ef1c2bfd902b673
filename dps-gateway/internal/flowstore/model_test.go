package flowstore_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/dps-gateway/internal/flowstore"
	"github.com/tidegate/tidegate/dps-gateway/internal/flowstore/flowstoretest"
	"github.com/tidegate/tidegate/dps-gateway/internal/keys"
	"github.com/tidegate/tidegate/dps-gateway/internal/outbox"
	"github.com/tidegate/tidegate/dps-gateway/internal/redistest"
	"github.com/tidegate/tidegate/shared/dps"
)

// model is what a flow must do, written down without Redis: every message that was accepted, in order.
type model struct {
	state  dps.State
	log    []accepted
	effect int
}

type accepted struct {
	signal             flowstore.Signal
	mid, print, answer string
	state              dps.State
}

const remembered = 32

// expect says what a transition must come to.
func (m *model) expect(t *flowstore.Transition) (flowstore.Outcome, string) {
	if n := len(m.log); n > 0 {
		for i := n - 1; i >= max(0, n-remembered); i-- { // by message id: the newest that bears it
			a := m.log[i]
			if t.MessageID != "" && a.signal == t.Signal && a.mid == t.MessageID {
				if a.print == t.Fingerprint {
					return flowstore.Replayed, a.answer
				}
				break
			}
		}
		if last := m.log[n-1]; last.signal == t.Signal && last.print == t.Fingerprint {
			return flowstore.Replayed, last.answer
		}
	}
	switch {
	case m.state == "" && t.New == nil:
		return flowstore.Unknown, ""
	case m.state == "":
		return flowstore.Applied, string(t.Answer)
	case t.New != nil:
		return flowstore.Exists, ""
	case !slices.Contains(t.From, m.state):
		return flowstore.WrongState, ""
	}
	return flowstore.Applied, string(t.Answer)
}

func (m *model) apply(t *flowstore.Transition) {
	m.state = t.To
	m.log = append(m.log, accepted{t.Signal, t.MessageID, t.Fingerprint, string(t.Answer), t.To})
	m.effect += len(t.Effects)
}

// TestModel sends random signals, repeats of earlier ones and retries under new message ids, and compares every outcome with
// the model. A crash of the gateway is a lost answer: what follows it is one of these repeats, to a new store.
func TestModel(t *testing.T) {
	rdb, _ := redistest.Mini(t)
	n := 0
	rapid.Check(t, func(r *rapid.T) {
		n++
		pc, id := fmt.Sprintf("tenant-%d", n), "flow"
		store := flowstore.New(rdb, outbox.NewBell(), time.Hour)
		m := &model{}
		var history []*flowstore.Transition
		role := rapid.SampledFrom([]dps.Role{dps.Consumer, dps.Provider}).Draw(r, "role")
		for i := range rapid.IntRange(1, 80).Draw(r, "steps") {
			var tr flowstore.Transition
			if len(history) > 0 && rapid.IntRange(0, 3).Draw(r, "repeat") == 0 {
				tr = *history[rapid.IntRange(0, len(history)-1).Draw(r, "which")]
				switch rapid.IntRange(0, 3).Draw(r, "how") {
				case 0:
					tr.MessageID = fmt.Sprintf("retry-%d", i)
				case 1:
					tr.Fingerprint += "x"
				}
			} else {
				tr = *draw(r, pc, id, role, i)
			}
			tr.Answer = fmt.Appendf(nil, "answer %d\nwith a line", i)
			if rapid.IntRange(0, 9).Draw(r, "crash") == 0 {
				store = flowstore.New(rdb, outbox.NewBell(), time.Hour)
			}
			want, answer := m.expect(&tr)
			got, err := store.Apply(t.Context(), &tr)
			if err != nil {
				r.Fatal(err)
			}
			if got.Outcome != want || (answer != "" && string(got.Answer) != answer) {
				r.Fatalf("%s %q in %q: %s %q, want %s %q", tr.Signal, tr.MessageID, m.state, got.Outcome, got.Answer, want, answer)
			}
			if want == flowstore.Applied {
				m.apply(&tr)
			}
			history = append(history, &tr)
			if got.State != m.state || got.Revision != int64(len(m.log)) {
				r.Fatalf("state %q revision %d, want %q %d", got.State, got.Revision, m.state, len(m.log))
			}
		}
		entries := 0
		msgs, err := rdb.XRange(t.Context(), keys.Outbox(keys.Shard(pc)), "-", "+").Result()
		if err != nil {
			r.Fatal(err)
		}
		last := ""
		for _, msg := range msgs {
			flow, _ := msg.Values[outbox.FieldFlow].(string)
			if e := outbox.DecodeFlow(msg.ID, flow); e.PC == pc {
				entries++
				last = fmt.Sprint(e.Revision)
			}
		}
		if entries != m.effect || (entries > 0 && last != fmt.Sprint(len(m.log))) {
			r.Fatalf("%d entries in the outbox up to revision %s, want %d up to %d", entries, last, m.effect, len(m.log))
		}
		live := rdb.ZScore(t.Context(), keys.Flows(pc), id).Err() == nil
		if live != (m.state != "" && !m.state.Terminal()) {
			r.Fatalf("in the index: %v, in state %q", live, m.state)
		}
	})
}

func draw(r *rapid.T, pc, id string, role dps.Role, i int) *flowstore.Transition {
	mid := fmt.Sprintf("m%d", i)
	move := func(signal flowstore.Signal, to dps.State, from ...dps.State) *flowstore.Transition {
		return flowstoretest.Move(pc, id, signal, mid, to, from...)
	}
	switch rapid.IntRange(0, 6).Draw(r, "signal") {
	case 0:
		c := flowstoretest.Create(pc, id, role)
		c.MessageID = mid
		return c
	case 1:
		return move(flowstore.NotifyOn, dps.Started, dps.Prepared)
	case 2:
		return move(flowstore.Suspend, dps.Suspended, dps.Started)
	case 3:
		return move(flowstore.Resume, dps.Started, dps.Suspended)
	case 4:
		if rapid.IntRange(0, 5).Draw(r, "really") == 0 {
			return move(flowstore.Terminate, dps.Terminated, dps.Prepared, dps.Started, dps.Suspended)
		}
		return move(flowstore.Suspend, dps.Suspended, dps.Started)
	case 5:
		c := move(flowstore.Completed, dps.Completed, dps.Started)
		c.MessageID = ""
		if rapid.IntRange(0, 3).Draw(r, "really") != 0 {
			c.From = nil
		}
		return c
	default:
		return move(flowstore.Resume, dps.Started, dps.Suspended)
	}
}
