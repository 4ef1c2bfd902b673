package signaling_test

import (
	"context"
	"net/http"
	"testing"

	"github.com/tidegate/tidegate/dps-gateway/internal/redistest"
	"github.com/tidegate/tidegate/shared/dps"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/problem"
)

// TestResumeAsksForADecisionThatIsMissing: after a rebuild a suspended flow is there, and its decision is not.
func TestResumeAsksForADecisionThatIsMissing(t *testing.T) {
	for name, c := range map[string]struct {
		decide func(w *world) (gatewayapi.Decision, error)
		code   int
		state  dps.State
	}{
		"approved": {func(w *world) (gatewayapi.Decision, error) {
			w.decision("provider", "agr-1", "asset-1", "them-id", gatewayapi.Approved)
			return gatewayapi.Decision{Verdict: gatewayapi.Approved}, nil
		}, http.StatusOK, dps.Started},
		"rejected": {func(*world) (gatewayapi.Decision, error) {
			return gatewayapi.Decision{Verdict: gatewayapi.Rejected, Reason: "no more"}, nil
		}, http.StatusForbidden, dps.Suspended},
		"said to be approved, yet not recorded": {func(*world) (gatewayapi.Decision, error) {
			return gatewayapi.Decision{Verdict: gatewayapi.Approved}, nil
		}, http.StatusForbidden, dps.Suspended},
		"nobody there": {func(*world) (gatewayapi.Decision, error) {
			return gatewayapi.Decision{}, problem.New(problem.Unavailable, "away")
		}, http.StatusServiceUnavailable, dps.Suspended},
	} {
		t.Run(name, func(t *testing.T) {
			rdb, _ := redistest.Mini(t)
			w := newWorld(t, rdb)
			w.approve("provider", "agr-1", "asset-1", "them-id")
			w.signal("provider", "start", flowMessage("m1", "tp"))
			w.signal("provider", "tp/suspend", `{"messageId":"m2"}`)
			if _, err := w.records.Delete(t.Context(), "provider", gatewayapi.KindDecision, gatewayapi.AgreementRecordID("agr-1")); err != nil {
				t.Fatal(err)
			}
			w.decider.decide = func(context.Context, gatewayapi.DecideRequest) (gatewayapi.Decision, error) { return c.decide(w) }
			a := w.signal("provider", "tp/resume", `{"messageId":"m3"}`)
			if a.code != c.code {
				t.Fatalf("%d %s", a.code, a.body)
			}
			if c.code == http.StatusOK && a.status(t).DataAddress == nil {
				t.Errorf("no fresh address: %s", a.body)
			}
			if len(w.decider.asked) != 1 || w.decider.asked[0].AgreementID != "agr-1" || w.decider.asked[0].CounterPartyID != "them-id" {
				t.Errorf("asked: %+v", w.decider.asked)
			}
			f, err := w.store.Get(t.Context(), "provider", "tp")
			if err != nil || f.State != c.state {
				t.Errorf("%+v %v", f, err)
			}
		})
	}
}
