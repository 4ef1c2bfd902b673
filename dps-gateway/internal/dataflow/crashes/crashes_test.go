// Package crashes_test walks data flows of every role, direction and dialect against a model, with deaths between the steps.
package crashes_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/dps-gateway/internal/dataflow"
	"github.com/tidegate/tidegate/dps-gateway/internal/flowstore"
	"github.com/tidegate/tidegate/dps-gateway/internal/flowstore/flowstoretest"
	"github.com/tidegate/tidegate/dps-gateway/internal/outbox"
	"github.com/tidegate/tidegate/dps-gateway/internal/redistest"
	"github.com/tidegate/tidegate/shared/dps"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/problem"
)

// message is a signal as a control plane sends it.
type message struct {
	signal  dps.Signal
	id      string
	content string // a reason, a token, metadata: what makes a difference to another message of the same signal
}

// model is a data flow written down without Redis: where it stands, and every message that was accepted, with its answer.
type model struct {
	role    dps.Role
	dir     dps.Direction
	again   bool // the control plane has no resume
	state   dps.State
	log     []accepted
	token   string // that is in force, of the side that makes the address
	address string // the other side's, of the side that doesn't
}

type accepted struct {
	message
	answer string
}

const remembered = 32

// repeats finds the accepted message that this one repeats: the same again, or the same content while nothing else has happened.
func (m *model) repeats(msg message) (accepted, bool) {
	n := len(m.log)
	for i := n - 1; i >= max(0, n-remembered); i-- {
		if a := m.log[i]; msg.id != "" && a.signal == msg.signal && a.id == msg.id {
			if a.content == msg.content {
				return a, true
			}
			break
		}
	}
	if n > 0 && m.log[n-1].signal == msg.signal && m.log[n-1].content == msg.content {
		return m.log[n-1], true
	}
	return accepted{}, false
}

// expect tells where a message that is no repeat leads; false if it is refused.
func (m *model) expect(msg message) (dps.State, bool) {
	from := m.state
	if from == "" {
		if msg.signal != dps.SignalPrepare && msg.signal != dps.SignalStart {
			return "", false
		}
		from = dps.Initialized
	}
	if m.again && from == dps.Suspended {
		switch {
		case msg.signal == dps.SignalStart && m.role == dps.Provider, msg.signal == dps.SignalStarted && m.role == dps.Consumer && m.dir == dps.Pull:
			return dps.Started, true
		}
	}
	to, err := dps.Transition(from, m.role, m.dir, msg.signal)
	return to, err == nil
}

func (m *model) owns() bool { return dps.OwnsAddress(m.role, m.dir) }

// accept writes a message down. token is the one of its answer's address.
func (m *model) accept(msg message, to dps.State, answer, token string) error {
	starts := to == dps.Started && msg.signal != dps.SignalStarted || to == dps.Prepared
	if want := m.owns() && starts; want != (token != "") {
		return fmt.Errorf("%s answers with a token: %v, want %v", msg.signal, token != "", want)
	}
	for _, a := range m.log {
		if token != "" && a.answer == answer {
			return fmt.Errorf("%s answers with an address that was given before", msg.signal)
		}
	}
	switch {
	case token != "":
		m.token = token
	case to == dps.Suspended || to.Terminal():
		m.token = ""
	}
	switch {
	case to.Terminal():
		m.address = ""
	case !m.owns() && (msg.signal == dps.SignalStart || msg.signal == dps.SignalStarted || msg.signal == dps.SignalResume):
		m.address = msg.content
	}
	m.state = to
	m.log = append(m.log, accepted{msg, answer})
	return nil
}

// crashing is a store whose caller dies at one call of Apply: before Redis has it, or before the answer has come.
type crashing struct {
	flowstore.Store
	before, after int // the call at which it does, counted down; 0 = never
}

var errDied = errors.New("the process died")

func (c *crashing) Apply(ctx context.Context, t *flowstore.Transition) (flowstore.Result, error) {
	if c.before--; c.before == 0 {
		return flowstore.Result{}, errDied
	}
	r, err := c.Store.Apply(ctx, t)
	if c.after--; c.after == 0 {
		return flowstore.Result{}, errDied
	}
	return r, err
}

// issuer makes addresses whose token is its id, and never the same twice.
type issuer struct{ n int }

func (i *issuer) Issue(_ context.Context, g dataflow.Grant) (*dps.DataAddress, string, error) {
	i.n++
	token := fmt.Sprintf("token-%d", i.n)
	return dps.NewBearerAddress(g.Profile, i.Endpoint(g), token), token, nil
}

func (*issuer) Endpoint(g dataflow.Grant) string { return "https://us.test/" + g.DataFlowID }

type noDecider struct{}

func (noDecider) Decide(context.Context, gatewayapi.DecideRequest) (gatewayapi.Decision, error) {
	return gatewayapi.Decision{}, problem.New(problem.Internal, "nothing is to be decided here")
}

// TestModel sends random messages to a flow of a random role, direction and dialect: new ones, repeats, retries under new ids, the
// same ids with other content. The process dies in some, before or after Redis has the transition; then the control plane sends
// the message again to a new one. Every answer, the flow, its token and address, and the outbox are compared with the model.
func TestModel(t *testing.T) {
	redistest.Each(t, func(t *testing.T, rdb redis.UniversalClient) {
		t.Helper()
		n := 0
		rapid.Check(t, func(r *rapid.T) {
			n++
			walk(t, r, rdb, fmt.Sprintf("tenant-%d", n))
		})
	})
}

func walk(t *testing.T, r *rapid.T, rdb redis.UniversalClient, pc string) {
	t.Helper()
	m := &model{
		role: rapid.SampledFrom([]dps.Role{dps.Consumer, dps.Provider}).Draw(r, "role"), dir: rapid.SampledFrom([]dps.Direction{dps.Pull, dps.Push}).Draw(r, "direction"),
		again: rapid.Bool().Draw(r, "no resume"),
	}
	if m.role == dps.Provider {
		flowstoretest.Decide(t, rdb, pc, "agr", gatewayapi.Approved, "ds", "did:web:them", false)
	}
	i := &issuer{}
	store := flowstore.New(rdb, outbox.NewBell(), time.Hour)
	var sent []message
	for step := range rapid.IntRange(1, 40).Draw(r, "steps") {
		msg := draw(r, m, sent, step)
		sent = append(sent, msg)
		c := &crashing{Store: store}
		if rapid.IntRange(0, 4).Draw(r, "crash") == 0 {
			at := rapid.IntRange(1, 2).Draw(r, "at call")
			if rapid.Bool().Draw(r, "after it") {
				c.after = at
			} else {
				c.before = at
			}
		}
		answer, err := send(t, dataflow.New(c, i, noDecider{}, dataflow.Options{}), m, pc, msg)
		if errors.Is(err, errDied) {
			answer, err = send(t, dataflow.New(store, i, noDecider{}, dataflow.Options{}), m, pc, msg)
		}
		compare(t, r, store, m, pc, msg, answer, err)
	}
	if entries := flowstoretest.Entries(t.Context(), t, rdb, pc); len(entries) != len(m.log) {
		r.Fatalf("%d entries in the outbox, want one for each of %d messages", len(entries), len(m.log))
	}
}

func draw(r *rapid.T, m *model, sent []message, step int) message {
	if len(sent) > 0 && rapid.IntRange(0, 2).Draw(r, "repeat") == 0 {
		msg := sent[rapid.IntRange(0, len(sent)-1).Draw(r, "which")]
		switch rapid.IntRange(0, 3).Draw(r, "how") {
		case 0:
			msg.id = fmt.Sprintf("retry-%d", step)
		case 1:
			if msg.content != "" {
				msg.content += "x"
			}
		}
		return msg
	}
	signals := []dps.Signal{dps.SignalStarted, dps.SignalSuspend, dps.SignalSuspend, dps.SignalResume, dps.SignalResume, dps.SignalTerminate, dps.SignalCompleted}
	for range 3 { // what begins a flow, often enough
		if m.role == dps.Consumer {
			signals = append(signals, dps.SignalPrepare, dps.SignalStarted)
		} else {
			signals = append(signals, dps.SignalStart)
		}
	}
	msg := message{signal: rapid.SampledFrom(signals).Draw(r, "signal"), id: fmt.Sprintf("m%d", step), content: rapid.SampledFrom([]string{"a", "b"}).Draw(r, "content")}
	if msg.signal == dps.SignalCompleted || (m.again && msg.signal != dps.SignalPrepare && msg.signal != dps.SignalStart && rapid.Bool().Draw(r, "no id")) {
		msg.id = ""
	}
	if msg.signal == dps.SignalCompleted || (msg.signal == dps.SignalResume && m.owns()) || (msg.signal == dps.SignalStarted && m.dir == dps.Push) {
		msg.content = "" // it has none
	}
	return msg
}

func send(t *testing.T, s *dataflow.Service, m *model, pc string, msg message) (dataflow.Answer, error) {
	t.Helper()
	ctx, c := t.Context(), dataflow.Call{ParticipantContextID: pc, DataFlowID: "flow", StartsAgain: m.again}
	profile := dps.ProfileHTTPPull
	if m.dir == dps.Push {
		profile = dps.ProfileHTTPPush
	}
	theirs := dps.NewBearerAddress(profile, "https://them.test/", msg.content)
	if m.owns() || (msg.signal == dps.SignalStarted && m.dir == dps.Push) {
		theirs = nil
	}
	flow := &dps.FlowMessage{
		MessageID: msg.id, ParticipantID: "did:web:us", CounterPartyID: "did:web:them", DataspaceContext: "c", ProcessID: "flow", AgreementID: "agr", DatasetID: "ds",
		Profile: profile, Claims: map[string]any{}, Metadata: map[string]any{"content": msg.content},
	}
	switch msg.signal {
	case dps.SignalPrepare:
		return s.Prepare(ctx, c, flow)
	case dps.SignalStart:
		flow.DataAddress = theirs
		return s.Start(ctx, c, flow)
	case dps.SignalStarted:
		return s.Started(ctx, c, &dps.StartedNotificationMessage{MessageID: msg.id, DataAddress: theirs})
	case dps.SignalSuspend:
		return s.Suspend(ctx, c, &dps.SuspendMessage{MessageID: msg.id, Reason: msg.content})
	case dps.SignalResume:
		return s.Resume(ctx, c, &dps.ResumeMessage{MessageID: msg.id, DataAddress: theirs})
	case dps.SignalTerminate:
		return s.Terminate(ctx, c, &dps.TerminateMessage{MessageID: msg.id, Reason: msg.content})
	default:
		return s.Completed(ctx, c, msg.id)
	}
}

func compare(t *testing.T, r *rapid.T, store *flowstore.Redis, m *model, pc string, msg message, answer dataflow.Answer, err error) {
	t.Helper()
	what := fmt.Sprintf("%s %q %q to a %s of %s in %q", msg.signal, msg.id, msg.content, m.role, m.dir, m.state)
	to, allowed := m.expect(msg)
	first, repeat := m.repeats(msg)
	switch {
	case repeat:
		if err != nil || string(answer) != first.answer {
			r.Fatalf("%s, a repeat: another answer than the first, or %v", what, err)
		}
	case !allowed:
		if msg.signal == dps.SignalCompleted && m.state == dps.Completed && err == nil {
			break // no news
		}
		if kind := problem.KindOf(err); err == nil || (kind != problem.Invalid && kind != problem.Conflict && kind != problem.NotFound) {
			r.Fatalf("%s: %v, want a refusal", what, err)
		}
	default:
		if err != nil {
			r.Fatalf("%s: %v, want %s", what, err, to)
		}
		st, err := dps.DecodeStatus(answer)
		if err != nil || st.State != to || st.DataFlowID != "flow" {
			r.Fatalf("%s: says %+v %v, want %s", what, st, err, to)
		}
		if err := m.accept(msg, to, string(answer), st.DataAddress.Property(dps.PropertyAuthorization)); err != nil {
			r.Fatalf("%s: %v", what, err)
		}
	}
	f, err := store.Get(t.Context(), pc, "flow")
	if m.state == "" {
		if !problem.Is(err, problem.NotFound) {
			r.Fatalf("%s: there is a flow: %+v %v", what, f, err)
		}
		return
	}
	if err != nil || f.State != m.state || f.Revision != int64(len(m.log)) || f.TokenID != m.token {
		r.Fatalf("%s: the flow is %+v %v; want %s at revision %d with token %q", what, f, err, m.state, len(m.log), m.token)
	}
	a, err := store.Address(t.Context(), pc, "flow")
	if got := a.Property(dps.PropertyAuthorization); got != m.address || (m.address == "" && !problem.Is(err, problem.NotFound)) {
		r.Fatalf("%s: the other side's address has the token %q, want %q; %v", what, got, m.address, err)
	}
}
