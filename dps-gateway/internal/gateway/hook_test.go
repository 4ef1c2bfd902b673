package gateway_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidegate/tidegate/dps-gateway/internal/dataflow"
	"github.com/tidegate/tidegate/dps-gateway/internal/flowstore"
	"github.com/tidegate/tidegate/dps-gateway/internal/gateway"
	"github.com/tidegate/tidegate/dps-gateway/internal/outbox"
	"github.com/tidegate/tidegate/shared/dps"
	"github.com/tidegate/tidegate/shared/function"
	"github.com/tidegate/tidegate/shared/function/functiontest"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/tenant"
)

const (
	streamPull = "https://profiles.test/stream-pull"
	streamPush = "https://profiles.test/stream-push"
)

// streams is a function that serves profiles, in the harness of all functions: it does what answer says.
type streams struct {
	*functiontest.Function
	mu     sync.Mutex
	answer function.Hook
	calls  []gatewayapi.HookRequest
}

func (s *streams) hook(ctx context.Context, r *gatewayapi.HookRequest) (*gatewayapi.HookAnswer, error) {
	s.mu.Lock()
	s.calls = append(s.calls, *r)
	answer := s.answer
	s.mu.Unlock()
	if answer == nil {
		return nil, nil
	}
	return answer(ctx, r)
}

func (s *streams) answers(h function.Hook) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = h
}

// called are the calls so far, as "kind revision".
func (s *streams) called(flow string) (all []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.calls {
		if c.Flow.DataFlowID == flow {
			all = append(all, fmt.Sprintf("%s %d", c.Kind, c.Flow.Revision))
		}
	}
	return all
}

func (s *streams) last() gatewayapi.HookRequest {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[len(s.calls)-1]
}

// opens answers with the address that a side owns.
func opens(_ context.Context, r *gatewayapi.HookRequest) (*gatewayapi.HookAnswer, error) {
	if dps.OwnsAddress(r.Flow.Role, r.Flow.Direction) && r.Kind.Asked() && r.Kind != gatewayapi.HookStarted {
		return opened(r), nil
	}
	return nil, nil
}

func opened(r *gatewayapi.HookRequest) *gatewayapi.HookAnswer {
	a := &dps.DataAddress{Endpoint: "stream://test"}
	a.Add("generation", fmt.Sprint(r.Flow.Revision))
	return &gatewayapi.HookAnswer{DataAddress: a, Metadata: map[string]any{"opened": "yes"}}
}

// newStreams writes the one line of configuration and starts a gateway and the function.
func newStreams(t *testing.T, answers string) (*world, *running, *streams) {
	t.Helper()
	w := newWorld(t)
	profiles := fmt.Sprintf("profiles: [{profile: %q, hook: streams}, {profile: %q, hook: streams}, {profile: %q, hook: streams}]\n", streamPull, streamPush, dps.ProfileHTTPPull)
	for _, pc := range []string{"provider", "other"} {
		w.tenant(pc, profiles)
		file := "tenants/" + pc + ".yaml"
		w.write(file, strings.Replace(w.read(file), "controlPlane:\n", "controlPlane:\n  answers: "+answers+"\n", 1))
	}
	s := &streams{}
	s.Function = functiontest.Start(t, "", "", func(c *function.Config) { c.TokenFile = w.path("secrets/internal") }, func(svc *function.Service) { svc.HandleHook(s.hook) })
	r := w.start(func(c *gateway.Config) { c.HookURLs, c.HookWait = []string{"streams=" + s.URL}, time.Second })
	r.approve("provider")
	r.approve("other")
	return w, r, s
}

func (r *running) approve(pc string) { r.approveFor(pc, "orders") }

// approveFor has the agreement "agr" on a dataset approved.
func (r *running) approveFor(pc, dataset string) {
	r.w.tb.Helper()
	dec := gatewayapi.Decision{
		ID: gatewayapi.AgreementRecordID("agr"), AgreementID: "agr", DatasetID: dataset, CounterPartyID: "did:web:consumer.test",
		Verdict: gatewayapi.Approved, Rule: "all", By: "rules", Mode: "veto", DecidedAt: time.Now(),
	}
	if _, err := r.api.Put(context.Background(), pc, gatewayapi.KindDecision, dec.ID, dec, gatewayapi.Always()); err != nil {
		r.w.tb.Fatal(err)
	}
}

func flowMessage(message, process, profile string) map[string]any {
	return map[string]any{
		"messageId": message, "participantId": "did:web:us.test", "counterPartyId": "did:web:consumer.test", "dataspaceContext": "ds",
		"processId": process, "agreementId": "agr", "datasetId": "orders", "profile": profile, "claims": map[string]any{"c": "d"},
		"labels": []string{"eu"}, "metadata": map[string]any{"stream": "ORDERS"},
	}
}

// post sends a DPS message and gives the answer whatever it is.
func (r *running) post(pc, rest string, msg map[string]any) answer {
	r.w.tb.Helper()
	b, err := json.Marshal(msg)
	if err != nil {
		r.w.tb.Fatal(err)
	}
	return r.raw(pc, rest, string(b))
}

func (a answer) status(tb testing.TB) dps.StatusMessage {
	tb.Helper()
	var st dps.StatusMessage
	if err := json.Unmarshal(a.body, &st); err != nil {
		tb.Fatalf("%d %s: %v", a.code, a.body, err)
	}
	return st
}

func generation(a *dps.DataAddress) string { return a.Property("generation") }

// TestAFunctionServesAProfile is the life of a pull at the provider and of a push at the consumer, with a function that answers at once.
func TestAFunctionServesAProfile(t *testing.T) {
	_, r, s := newStreams(t, "synchronous")
	s.answers(opens)

	st := r.signal("provider", "start", flowMessage("m1", "p1", streamPull))
	if st.State != dps.Started || st.DataAddress == nil || st.DataAddress.EndpointType != streamPull || generation(st.DataAddress) != "1" {
		t.Fatalf("start: %+v", st)
	}
	again := r.signal("provider", "start", flowMessage("m1", "p1", streamPull))
	if d := cmp.Diff(st, again); d != "" {
		t.Errorf("a repeated start: %s", d)
	}
	first := s.last()
	want := gatewayapi.HookRequest{
		Kind: gatewayapi.HookStart, Key: first.Key, AnswerWithinMS: first.AnswerWithinMS,
		Flow: gatewayapi.Flow{
			ParticipantContextID: "provider", DataFlowID: "p1", State: dps.Initialized, Role: dps.Provider, Direction: dps.Pull, Profile: streamPull,
			ParticipantID: "did:web:us.test", CounterPartyID: "did:web:consumer.test", DataspaceContext: "ds", AgreementID: "agr", DatasetID: "orders",
			Claims: map[string]any{"c": "d"}, Labels: []string{"eu"}, Metadata: map[string]any{"stream": "ORDERS"}, Hook: "streams", Revision: 1,
			CreatedAt: first.Flow.CreatedAt, UpdatedAt: first.Flow.UpdatedAt,
		},
	}
	if d := cmp.Diff(want, first); d != "" {
		t.Errorf("the function was asked (-want +got)\n%s", d)
	}
	if first.Key == "" || first.AnswerWithinMS < 1 || first.AnswerWithinMS > 1000 {
		t.Errorf("key %q, within %d ms", first.Key, first.AnswerWithinMS)
	}

	r.signal("provider", "p1/suspend", map[string]any{"messageId": "m2", "reason": "wait"})
	within(t, "the suspend is told", func() bool { return slices.Contains(s.called("p1"), "suspend 2") })
	told := s.last()
	if told.Reason != "wait" || told.Flow.State != dps.Suspended || told.Flow.Metadata["opened"] != "yes" || told.Flow.Metadata["stream"] != "ORDERS" {
		t.Errorf("told of a suspend: %+v", told)
	}
	st = r.signal("provider", "p1/resume", map[string]any{"messageId": "m3"})
	if generation(st.DataAddress) != "3" {
		t.Errorf("resume: %+v", st)
	}
	r.signal("provider", "p1/completed", map[string]any{})
	within(t, "the end is told", func() bool { return slices.Contains(s.called("p1"), "complete 4") })
	if d := cmp.Diff([]string{"start 1", "suspend 2", "resume 3", "complete 4"}, s.called("p1")); d != "" {
		t.Error(d)
	}

	// The consumer's side of a push owns the address, and hears that the provider has started; the address comes back, as EDC does it.
	st = r.signal("other", "prepare", flowMessage("m1", "c1", streamPush))
	if st.State != dps.Prepared || generation(st.DataAddress) != "1" {
		t.Fatalf("prepare: %+v", st)
	}
	r.signal("other", "c1/started", map[string]any{"messageId": "m2", "dataAddress": st.DataAddress})
	if got := s.last(); got.Kind != gatewayapi.HookStarted || got.DataAddress != nil {
		t.Errorf("started: %+v", got)
	}
	if err := r.api.Complete(t.Context(), "other", "c1"); err != nil {
		t.Fatal(err)
	}
	within(t, "the end is told", func() bool { return slices.Contains(s.called("c1"), "complete 3") })

	// The consumer's side of a pull gets the provider's address, and its function sees it; the provider's side of a push likewise.
	r.signal("other", "prepare", flowMessage("m1", "c2", streamPull))
	address := map[string]any{"endpointType": streamPull, "endpoint": "stream://theirs"}
	r.signal("other", "c2/started", map[string]any{"messageId": "m2", "dataAddress": address})
	if got := s.last(); got.Kind != gatewayapi.HookStarted || got.DataAddress == nil || got.DataAddress.Endpoint != "stream://theirs" {
		t.Errorf("started: %+v", got)
	}
	if a, err := r.api.DataAddress(t.Context(), "other", "c2"); err != nil || a.Endpoint != "stream://theirs" {
		t.Errorf("%+v %v", a, err)
	}
	push := flowMessage("m1", "p2", streamPush)
	push["dataAddress"] = map[string]any{"endpointType": streamPush, "endpoint": "stream://theirs"}
	if st := r.signal("provider", "start", push); st.DataAddress != nil || s.last().DataAddress.Endpoint != "stream://theirs" {
		t.Errorf("start of a push: %+v", st)
	}
	r.signal("provider", "p2/terminate", map[string]any{"messageId": "m2", "reason": "enough"})
	within(t, "the end is told", func() bool { return slices.Contains(s.called("p2"), "terminate 2") })
}

// TestWhatAFunctionRefusesDoesNotHappen: the reason reaches the control plane, and nothing is left.
func TestWhatAFunctionRefusesDoesNotHappen(t *testing.T) {
	_, r, s := newStreams(t, "synchronous")
	for name, c := range map[string]struct {
		err    error
		code   int
		detail string
	}{
		"not allowed":          {problem.New(problem.Forbidden, "this counterparty may read no streams"), 403, "this counterparty may read no streams"},
		"no such stream":       {problem.New(problem.NotFound, "there is no stream ORDERS"), 404, "there is no stream ORDERS"},
		"a field that is bad":  {problem.Field("flow.metadata.stream", "is missing"), 400, "is missing"},
		"it can never be done": {problem.New(problem.Unprocessable, "streams of this kind can't be shared"), 422, "streams of this kind can't be shared"},
		"it fails":             {problem.New(problem.Unavailable, "the broker is away"), 503, `function "streams" fails`},
	} {
		t.Run(name, func(t *testing.T) {
			s.answers(func(context.Context, *gatewayapi.HookRequest) (*gatewayapi.HookAnswer, error) { return nil, c.err })
			id := "refused-" + strings.ReplaceAll(name, " ", "-")
			a := r.post("provider", "start", flowMessage("m1", id, streamPull))
			if a.code != c.code || a.detail(t) != c.detail {
				t.Errorf("%d %s, want %d %s", a.code, a.body, c.code, c.detail)
			}
			if _, err := r.api.Flow(t.Context(), "provider", id); !problem.Is(err, problem.NotFound) {
				t.Errorf("there is a flow: %v", err)
			}
		})
	}
	t.Run("an answer that does not fit is none", func(t *testing.T) {
		for i, a := range []*gatewayapi.HookAnswer{nil, {DataAddress: &dps.DataAddress{}}, {DataAddress: &dps.DataAddress{EndpointType: "other", Endpoint: "x"}}} {
			s.answers(func(context.Context, *gatewayapi.HookRequest) (*gatewayapi.HookAnswer, error) { return a, nil })
			if got := r.post("provider", "start", flowMessage("m1", fmt.Sprintf("unfit-%d", i), streamPull)); got.code != http.StatusBadGateway {
				t.Errorf("%d %s", got.code, got.body)
			}
		}
		s.answers(func(_ context.Context, r *gatewayapi.HookRequest) (*gatewayapi.HookAnswer, error) {
			return opened(r), nil
		})
		if got := r.post("other", "prepare", flowMessage("m1", "unfit", streamPull)); got.code != http.StatusBadGateway {
			t.Errorf("an address of the side that owns none: %d %s", got.code, got.body)
		}
	})
	t.Run("a resume that is refused leaves the flow suspended", func(t *testing.T) {
		s.answers(opens)
		r.signal("provider", "start", flowMessage("m1", "p3", streamPull))
		r.signal("provider", "p3/suspend", map[string]any{"messageId": "m2"})
		s.answers(func(context.Context, *gatewayapi.HookRequest) (*gatewayapi.HookAnswer, error) {
			return nil, problem.New(problem.Conflict, "the stream is gone")
		})
		if a := r.post("provider", "p3/resume", map[string]any{"messageId": "m3"}); a.code != 409 || a.detail(t) != "the stream is gone" {
			t.Errorf("%d %s", a.code, a.body)
		}
		if f, err := r.api.Flow(t.Context(), "provider", "p3"); err != nil || f.State != dps.Suspended {
			t.Errorf("%+v %v", f, err)
		}
		s.answers(func(context.Context, *gatewayapi.HookRequest) (*gatewayapi.HookAnswer, error) {
			return nil, function.ErrLater
		})
		if a := r.post("provider", "p3/resume", map[string]any{"messageId": "m4"}); a.code != http.StatusBadGateway {
			t.Errorf("a resume can't be promised: %d %s", a.code, a.body)
		}
	})
	t.Run("no function is asked without a decision", func(t *testing.T) {
		before := len(s.called("p4"))
		m := flowMessage("m1", "p4", streamPull)
		m["agreementId"] = "undecided"
		if a := r.post("provider", "start", m); a.code != http.StatusServiceUnavailable && a.code != http.StatusForbidden {
			t.Errorf("%d %s", a.code, a.body)
		}
		if n := len(s.called("p4")) - before; n != 0 {
			t.Errorf("it was asked %d times", n)
		}
	})
	t.Run("the gateway's own profiles keep their addresses, and may be refused", func(t *testing.T) {
		s.answers(nil)
		d := r.publish("provider", "file", []byte("content"))
		m := flowMessage("m1", "p5", dps.ProfileHTTPPull)
		if a := r.post("provider", "start", m); a.code != http.StatusBadRequest {
			t.Errorf("a dataset that is not registered: %d %s", a.code, a.body)
		}
		g := r.startFlow("provider", d)
		if got := r.get(g); got.code != 200 || string(got.body) != "content" {
			t.Errorf("%d %s", got.code, got.body)
		}
		if calls := s.called(g.flow); !slices.Equal(calls, []string{"start 1"}) {
			t.Errorf("%v", calls)
		}
	})
}

// callbacks are those of the gateway from now on, each as its path, a space and its body.
func (w *world) callbacks() <-chan string {
	callbacks := make(chan string, 10)
	told := func(path string, body []byte) { callbacks <- path + " " + string(body) }
	w.callback.Store(&told)
	return callbacks
}

// TestPromisesToAControlPlaneThatCanTakeThem: 202, and the callback when the function has done what it promised.
func TestPromisesToAControlPlaneThatCanTakeThem(t *testing.T) {
	w, r, s := newStreams(t, "asynchronous")
	callbacks := w.callbacks()
	s.answers(func(context.Context, *gatewayapi.HookRequest) (*gatewayapi.HookAnswer, error) {
		return nil, function.ErrLater
	})

	a := r.post("provider", "start", flowMessage("m1", "p1", streamPull))
	st := a.status(t)
	if a.code != http.StatusAccepted || st.State != dps.Starting || st.DataAddress != nil {
		t.Fatalf("start: %d %s", a.code, a.body)
	}
	if got := a.header.Get("Location"); got != "http://signaling.test/participants/provider/dataflows/p1/status" {
		t.Errorf("Location %q", got)
	}
	again := r.post("provider", "start", flowMessage("m1", "p1", streamPull))
	if again.code != http.StatusAccepted || string(again.body) != string(a.body) {
		t.Errorf("again: %d %s", again.code, again.body)
	}
	if err := r.api.Prepared(t.Context(), "provider", "p1", gatewayapi.HookAnswer{}); !problem.Is(err, problem.Invalid) && !problem.Is(err, problem.Conflict) {
		t.Errorf("a provider's flow was prepared: %v", err)
	}
	if err := r.api.Started(t.Context(), "provider", "p1", gatewayapi.HookAnswer{}); !problem.Is(err, problem.Invalid) {
		t.Errorf("started without an address: %v", err)
	}
	ask := s.last()
	for range 2 { // said twice is said once
		if err := r.api.Started(t.Context(), "provider", "p1", *opened(&ask)); err != nil {
			t.Fatal(err)
		}
	}
	var cb string
	select {
	case cb = <-callbacks:
	case <-time.After(time.Minute):
		t.Fatal("no callback")
	}
	path, body, _ := strings.Cut(cb, " ")
	started := answer{body: []byte(body)}.status(t)
	if path != "/signaling/transfers/p1/dataflow/started" || started.State != dps.Started || generation(started.DataAddress) != "1" || started.MessageID == "" {
		t.Errorf("callback %s", cb)
	}
	if got := r.signal("provider", "start", flowMessage("m1", "p1", streamPull)); generation(got.DataAddress) != "1" {
		t.Errorf("a start that is repeated after the report: %+v", got)
	}

	if a := r.post("other", "prepare", flowMessage("m1", "c1", streamPush)); a.code != http.StatusAccepted || a.status(t).State != dps.Preparing {
		t.Errorf("prepare: %d %s", a.code, a.body)
	}
	r.signal("other", "c1/terminate", map[string]any{"messageId": "m2"})
	if err := r.api.Prepared(t.Context(), "other", "c1", *opened(&ask)); !problem.Is(err, problem.Conflict) {
		t.Errorf("a report that comes too late: %v", err)
	}
	if f, err := r.api.Flow(t.Context(), "other", "c1"); err != nil || f.State != dps.Terminated {
		t.Errorf("%+v %v", f, err)
	}
	select {
	case cb := <-callbacks:
		t.Errorf("callback %s", cb)
	case <-time.After(300 * time.Millisecond):
	}

	if a := r.post("other", "prepare", flowMessage("m3", "c2", streamPush)); a.code != http.StatusAccepted {
		t.Errorf("prepare: %d %s", a.code, a.body)
	}
	for range 2 { // said twice is said once
		if err := r.api.Prepared(t.Context(), "other", "c2", *opened(&ask)); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case cb = <-callbacks:
	case <-time.After(time.Minute):
		t.Fatal("no callback")
	}
	path, body, _ = strings.Cut(cb, " ")
	if got := (answer{body: []byte(body)}).status(t); path != "/signaling/transfers/c2/dataflow/prepared" || got.State != dps.Prepared || got.DataAddress == nil {
		t.Errorf("callback %s", cb)
	}
}

// TestAPromiseThatIsNotKeptEnds: a function that has promised a control plane something has the time that its profile gives it. Then the flow
// ends, whichever gateway made it, and everybody hears of it.
func TestAPromiseThatIsNotKeptEnds(t *testing.T) {
	w, r, s := newStreams(t, "asynchronous")
	callbacks := w.callbacks()
	for _, pc := range []string{"provider", "other"} { // the second profile has the time of the gateway's settings
		file := "tenants/" + pc + ".yaml"
		w.write(file, strings.Replace(w.read(file), fmt.Sprintf("{profile: %q, hook: streams}", streamPull), fmt.Sprintf("{profile: %q, hook: streams, reportWithin: 2s}", streamPull), 1))
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	promises := func(_ context.Context, q *gatewayapi.HookRequest) (*gatewayapi.HookAnswer, error) {
		if q.Kind.Asked() {
			return nil, function.ErrLater
		}
		return nil, nil
	}
	s.answers(promises)
	start := func() *running {
		return w.start(func(c *gateway.Config) { c.HookURLs, c.HookReportWithin = []string{"streams=" + s.URL}, 3*time.Second })
	}
	r = start()
	if a := r.post("provider", "start", flowMessage("m1", "p1", streamPull)); a.code != http.StatusAccepted {
		t.Fatalf("start: %d %s", a.code, a.body)
	}
	if a := r.post("other", "prepare", flowMessage("m1", "c1", streamPush)); a.code != http.StatusAccepted {
		t.Fatalf("prepare: %d %s", a.code, a.body)
	}
	if err := r.stop(); err != nil { // the time goes on
		t.Fatal(err)
	}
	r = start()
	for range 2 {
		var cb string
		select {
		case cb = <-callbacks:
		case <-time.After(time.Minute):
			t.Fatal("no callback")
		}
		path, body, _ := strings.Cut(cb, " ")
		var m dps.StatusMessage
		if err := json.Unmarshal([]byte(body), &m); err != nil || m.State != dps.Terminated {
			t.Errorf("callback %s: %v", cb, err)
		}
		want, ok := map[string]string{
			"/signaling/transfers/p1/dataflow/errored": `function "streams" has not reported in time, which was 2s, that the data flow is started`,
			"/signaling/transfers/c1/dataflow/errored": `function "streams" has not reported in time, which was 3s, that the data flow is prepared`,
		}[path]
		if !ok || m.Error != want {
			t.Errorf("callback %s", cb)
		}
	}
	for pc, flow := range map[string]string{"provider": "p1", "other": "c1"} {
		within(t, "the function hears that it is over", func() bool { return slices.Contains(s.called(flow), "terminate 2") })
		report := r.api.Started
		if pc == "other" {
			report = r.api.Prepared
		}
		if err := report(t.Context(), pc, flow, *opened(&gatewayapi.HookRequest{})); !problem.Is(err, problem.Conflict) {
			t.Errorf("a report that comes too late: %v", err)
		}
		if f, err := r.api.Flow(t.Context(), pc, flow); err != nil || f.State != dps.Terminated {
			t.Errorf("%+v %v", f, err)
		}
	}
}

// TestPromisesToAControlPlaneThatWaits: EDC-V never finishes what is promised, so its answer is held.
func TestPromisesToAControlPlaneThatWaits(t *testing.T) {
	_, r, s := newStreams(t, "synchronous")
	later := func(done func(r *gatewayapi.HookRequest)) function.Hook {
		return func(_ context.Context, q *gatewayapi.HookRequest) (*gatewayapi.HookAnswer, error) {
			if q.Kind == gatewayapi.HookStart {
				go done(q)
				return nil, function.ErrLater
			}
			return nil, nil
		}
	}
	t.Run("done in time", func(t *testing.T) {
		done := make(chan error, 1)
		s.answers(later(func(q *gatewayapi.HookRequest) {
			done <- r.api.Started(context.Background(), "provider", "p1", *opened(q))
		}))
		st := r.signal("provider", "start", flowMessage("m1", "p1", streamPull))
		if err := <-done; err != nil || st.State != dps.Started || generation(st.DataAddress) != "1" {
			t.Errorf("%v %+v", err, st)
		}
	})
	t.Run("given up by the function", func(t *testing.T) {
		done := make(chan error, 1)
		s.answers(later(func(q *gatewayapi.HookRequest) {
			var err error
			for range 100 { // the flow may not be there yet
				if err = r.api.Errored(context.Background(), "provider", "p2", "no disk left"); !problem.Is(err, problem.NotFound) {
					break
				}
				time.Sleep(10 * time.Millisecond)
			}
			done <- err
		}))
		a := r.post("provider", "start", flowMessage("m1", "p2", streamPull))
		if err := <-done; err != nil || a.code != 422 || !strings.Contains(a.detail(t), "no disk left") {
			t.Errorf("%v %d %s", err, a.code, a.body)
		}
	})
	t.Run("not done in time", func(t *testing.T) {
		s.answers(later(func(*gatewayapi.HookRequest) {}))
		began := time.Now()
		a := r.post("provider", "start", flowMessage("m1", "p3", streamPull))
		if took := time.Since(began); a.code != 503 || took < time.Second || took > 4*time.Second {
			t.Errorf("%d %s after %v", a.code, a.body, took)
		}
		within(t, "the function hears that it is over", func() bool { return slices.Contains(s.called("p3"), "terminate 2") })
		if err := r.api.Started(t.Context(), "provider", "p3", *opened(&gatewayapi.HookRequest{})); !problem.Is(err, problem.Conflict) {
			t.Errorf("too late: %v", err)
		}
		if a := r.post("provider", "start", flowMessage("m1", "p3", streamPull)); a.code != 422 {
			t.Errorf("again: %d %s", a.code, a.body)
		}
	})
}

// TestAnAnswerThatADeadGatewayHeldComesToAnEnd: what it leaves in Redis is a flow that waits. Another gateway ends it after a while, and
// control plane and function hear of it.
func TestAnAnswerThatADeadGatewayHeldComesToAnEnd(t *testing.T) {
	w, r, s := newStreams(t, "synchronous")
	callbacks := w.callbacks()
	store := flowstore.New(w.rdb, outbox.NewBell(), time.Hour)
	dead := dataflow.New(diesWhileItHolds{store}, nil, nil, dataflow.Options{HookWait: time.Second, Hooks: promised{}})
	m := &dps.FlowMessage{
		MessageID: "m1", ParticipantID: "did:web:us.test", CounterPartyID: "did:web:consumer.test", DataspaceContext: "ds", ProcessID: "p1",
		AgreementID: "agr", DatasetID: "orders", Profile: streamPull, Claims: map[string]any{"c": "d"}, Labels: []string{"eu"}, Metadata: map[string]any{"stream": "ORDERS"},
	}
	if _, err := dead.Start(t.Context(), dataflow.Call{
		ParticipantContextID: "provider", Caller: &flowstore.Caller{}, Profiles: []tenant.Profile{{Profile: streamPull, Hook: "streams"}},
	}, m); err == nil {
		t.Fatal("it is not dead")
	}
	select {
	case cb := <-callbacks:
		if !strings.HasPrefix(cb, "/signaling/transfers/p1/dataflow/errored ") || !strings.Contains(cb, "has not reported in time") {
			t.Errorf("callback %s", cb)
		}
	case <-time.After(time.Minute):
		t.Fatal("the control plane waits for ever")
	}
	within(t, "the function hears that it is over", func() bool { return slices.Contains(s.called("p1"), "terminate 2") })
	if a := r.post("provider", "start", flowMessage("m1", "p1", streamPull)); a.code != http.StatusUnprocessableEntity || !strings.Contains(a.detail(t), "has not reported in time") {
		t.Errorf("the start, again: %d %s", a.code, a.body)
	}
}

// diesWhileItHolds is the store of a gateway that dies as soon as it looks whether the function has reported.
type diesWhileItHolds struct{ flowstore.Store }

func (diesWhileItHolds) Get(context.Context, string, string) (*flowstore.Flow, error) {
	return nil, context.Canceled
}

// promised is a function that does later what it is asked.
type promised struct{}

func (promised) Ask(context.Context, string, *gatewayapi.HookRequest) (*gatewayapi.HookAnswer, bool, error) {
	return nil, true, nil
}

func TestAFunctionThatTheGatewayDoesNotKnowIsRefusedWithItsLine(t *testing.T) {
	w := newWorld(t)
	w.tenant("provider", "profiles:\n  - {profile: x-pull, hook: streams}\n  - {profile: y-pull, hook: nobody}\n")
	r := w.start(func(c *gateway.Config) { c.HookURLs = []string{"streams=http://127.0.0.1:1"} })
	var problems []string
	for s, err := range r.api.Tenants(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		problems = append(problems, s.Problems...)
	}
	all := strings.Join(problems, "\n")
	if !strings.Contains(all, "provider.yaml:20: profiles[1].hook: ") || strings.Contains(all, "profiles[0]") {
		t.Errorf("%s", all)
	}
	w.start(func(c *gateway.Config) { c.HookURLs = []string{"*=http://{function}.test"} })
}

// TestAFunctionThatIsAwayIsToldWhenItIsBack: the end of a flow does not wait for its function.
func TestAFunctionThatIsAwayIsToldWhenItIsBack(t *testing.T) {
	w := newWorld(t)
	w.tenant("provider", fmt.Sprintf("profiles: [{profile: %q, hook: streams}]\n", streamPull))
	var mu sync.Mutex
	away, told := false, 0
	srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		var q gatewayapi.HookRequest
		_ = json.NewDecoder(req.Body).Decode(&q)
		switch {
		case req.Header.Get("Authorization") != "Bearer "+w.secret.Value():
			rw.WriteHeader(http.StatusUnauthorized)
		case away:
			rw.WriteHeader(http.StatusServiceUnavailable)
		case q.Kind == gatewayapi.HookTerminate:
			told++
			rw.WriteHeader(http.StatusNoContent)
		default:
			_ = json.NewEncoder(rw).Encode(opened(&q))
		}
	}))
	defer srv.Close()
	r := w.start(func(c *gateway.Config) { c.HookURLs = []string{"streams=" + srv.URL} })
	r.approve("provider")
	r.signal("provider", "start", flowMessage("m1", "p1", streamPull))
	mu.Lock()
	away = true
	mu.Unlock()
	if st := r.signal("provider", "p1/terminate", map[string]any{"messageId": "m2"}); st.State != dps.Terminated {
		t.Errorf("%+v", st)
	}
	if err := r.stop(); err != nil { // what is to be told outlives the gateway
		t.Fatal(err)
	}
	mu.Lock()
	away = false
	mu.Unlock()
	w.start(func(c *gateway.Config) { c.HookURLs = []string{"streams=" + srv.URL} })
	within(t, "it is told", func() bool { mu.Lock(); defer mu.Unlock(); return told == 1 })
}
