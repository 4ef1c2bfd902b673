package sandbox_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidegate/tidegate/infra/sandbox/config"
)

func (w *world) misbehave(pc, body string) {
	w.t.Helper()
	if s, text := w.send("an-admin-key-for-tests", "PUT", "/sandbox/misbehaviour/"+pc, body); s != 204 {
		w.t.Fatalf("misbehaviour: %d %s", s, text)
	}
}

func TestManagementErrorsAreReproducibleBySeed(t *testing.T) {
	w := newWorld(t, nil)
	run := func() (out []int) {
		w.misbehave("provider", `{"seed": 3, "errorRate": 0.3, "errorAfterRate": 0.3, "slow": {"minMs": 0, "maxMs": 2}}`)
		for range 40 {
			s, _ := w.send(w.as("provider-app"), "GET", "/participants/provider/profiles", nil)
			out = append(out, s)
		}
		return out
	}
	first, second := run(), run()
	if d := cmp.Diff(first, second); d != "" {
		t.Error(d)
	}
	for _, s := range []int{200, 500, 503} {
		if !slices.Contains(first, s) {
			t.Errorf("no %d in %v", s, first)
		}
	}
	if s, _ := w.send(w.as("consumer-app"), "GET", "/participants/consumer/profiles", nil); s != 200 {
		t.Errorf("the other participant is hit: %d", s)
	}
}

func TestAnErrorAfterwardsHasHadItsEffect(t *testing.T) {
	w := newWorld(t, nil)
	w.misbehave("provider", `{"errorAfterRate": 1}`)
	body := doc("Asset", map[string]any{"@id": "a", "properties": map[string]any{}})
	if s, _ := w.send(w.as("provider-app"), "POST", "/participants/provider/assets", body); s != 500 {
		t.Fatalf("status %d", s)
	}
	w.misbehave("provider", `{}`)
	w.get("provider", "assets", "a")
}

func TestEventsAreLostDoubledAndReordered(t *testing.T) {
	w := newWorld(t, nil)
	assets := func(n int, prefix string) {
		for i := range n {
			w.must(200, "provider-app", "POST", "/participants/provider/assets", doc("Asset", map[string]any{"@id": fmt.Sprint(prefix, i), "properties": map[string]any{}}))
		}
	}
	ids := func(prefix string) (out []string) {
		for _, e := range w.sink.all() {
			if id, _ := e.body["assetId"].(string); strings.HasPrefix(id, prefix) {
				out = append(out, id)
			}
		}
		return out
	}
	w.misbehave("provider", `{"duplicateEvents": 1}`)
	assets(3, "twice")
	w.eventually(func() bool { return len(ids("twice")) == 6 }, func() string { return fmt.Sprint(ids("twice")) })
	w.misbehave("provider", `{"seed": 1, "reorderEvents": 0.5}`)
	assets(8, "late")
	w.eventually(func() bool { return len(ids("late")) == 8 }, func() string { return fmt.Sprint(ids("late")) })
	if slices.IsSorted(ids("late")) {
		t.Errorf("in order: %v", ids("late"))
	}
	w.misbehave("provider", `{"loseEvents": 1}`)
	assets(3, "lost")
	w.stop() // the sandbox has sent what it ever will
	if got := ids("lost"); len(got) != 0 {
		t.Errorf("lost: %v", got)
	}
}

func TestDataPlaneCallsComeTwice(t *testing.T) {
	w, agreement := ready(t, nil)
	w.misbehave("consumer", `{"duplicateDps": 1}`)
	w.misbehave("provider", `{"duplicateDpsNewId": 1}`)
	w.started(agreement, "http-pull")
	ids := map[string]map[any]int{"prepare": {}, "start": {}}
	for _, s := range w.plane.all() {
		if m := ids[s.verb()]; m != nil {
			m[s.body["messageId"]]++
		}
	}
	if len(ids["prepare"]) != 1 {
		t.Errorf("prepare twice with the same id: %v", ids["prepare"])
	}
	if len(ids["start"]) != 2 {
		t.Errorf("start twice with another id: %v", ids["start"])
	}
}

func TestTheFirstCallbacksAreRefused(t *testing.T) {
	w, agreement := ready(t, nil)
	w.misbehave("consumer", `{"refuseCallbacks": 2}`)
	consumer, _ := w.started(agreement, "http-pull")
	var got []int
	for range 3 {
		got = append(got, w.plane.notify("consumer", consumer, "completed", nil))
	}
	if d := cmp.Diff([]int{401, 401, 200}, got); d != "" {
		t.Error(d)
	}
}

func TestMisbehaviourIsRefusedUnlessItMakesSense(t *testing.T) {
	w := newWorld(t, nil)
	for body, want := range map[string]int{
		`{"errorRate": 2}`: 400, `{"unknown": 1}`: 400, `nonsense`: 400, `{"slow": {"minMs": 5, "maxMs": 1}}`: 400, `{"seed": 1}`: 204,
	} {
		if s, text := w.send(w.as("admin"), "PUT", "/sandbox/misbehaviour/provider", body); s != want {
			t.Errorf("%s: %d %s, want %d", body, s, text, want)
		}
	}
	if s, _ := w.send(w.as("provider-app"), "PUT", "/sandbox/misbehaviour/provider", `{}`); s != 403 {
		t.Errorf("by a tenant: %d", s)
	}
	if s, _ := w.send("", "PUT", "/sandbox/misbehaviour/provider", `{}`); s != 401 {
		t.Errorf("by anyone: %d", s)
	}
	if s, _ := w.send(w.as("admin"), "PUT", "/sandbox/misbehaviour/nobody", `{}`); s != 404 {
		t.Errorf("of nobody: %d", s)
	}
}

func TestMisbehaviourSurvivesARestart(t *testing.T) {
	w := newWorld(t, nil)
	w.misbehave("provider", `{"seed": 9, "errorRate": 1}`)
	w.restart()
	if s, _ := w.send(w.as("provider-app"), "GET", "/participants/provider/profiles", nil); s != 503 {
		t.Errorf("status %d", s)
	}
}

func TestNegotiationsAndTransfersGoOnAfterARestart(t *testing.T) {
	w, agreement := ready(t, func(c *config.Config) { c.Delays.Step = 10 * time.Millisecond })
	offer := w.offer("asset-1")
	var negotiations, transfers []string
	for range 10 {
		negotiations = append(negotiations, w.negotiate(offer))
		transfers = append(transfers, w.transfer(agreement, "http-pull"))
	}
	for range 3 { // in the midst of it
		time.Sleep(12 * time.Millisecond)
		w.restart()
	}
	for _, id := range negotiations {
		w.reach("consumer", "contractnegotiations", id, "FINALIZED")
		w.reach("provider", "contractnegotiations", w.other("contractnegotiations", id), "FINALIZED")
	}
	for _, id := range transfers {
		w.reach("consumer", "transferprocesses", id, "STARTED")
		w.reach("provider", "transferprocesses", w.other("transferprocesses", id), "STARTED")
	}
	if a, b := len(w.query("consumer", "contractagreements", "", nil)), len(w.query("provider", "contractagreements", "", nil)); a != 11 || b != 11 {
		t.Errorf("%d and %d agreements, want 11", a, b)
	}
}
