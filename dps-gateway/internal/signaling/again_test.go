package signaling_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/tidegate/tidegate/dps-gateway/internal/flowstore/flowstoretest"
	"github.com/tidegate/tidegate/dps-gateway/internal/redistest"
	"github.com/tidegate/tidegate/eventing/catalogue"
	"github.com/tidegate/tidegate/shared/dps"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/tenant"
)

func (w *world) speak(d tenant.Dialect) {
	for _, t := range w.tenants {
		t.ControlPlane.Dialect = d
	}
}

// swapped is a start as EDC 0.17 sends it: with the participants the wrong way round.
func swapped(message string) string {
	return strings.NewReplacer("us-id", "them-id", `"counterPartyId":"them-id"`, `"counterPartyId":"us-id"`, `"profile"`, `"transferType"`).Replace(message)
}

// TestControlPlanesWithoutResumeStartAgain is the suspension of a pull in the dialects that have no resume: a second start at the
// provider's plane, which gets a fresh address, and a second started at the consumer's.
func TestControlPlanesWithoutResumeStartAgain(t *testing.T) {
	for _, dialect := range []tenant.Dialect{tenant.EDC017, tenant.EDC016} {
		t.Run(string(dialect), func(t *testing.T) {
			redistest.Each(t, func(t *testing.T, rdb redis.UniversalClient) {
				t.Helper()
				w := newWorld(t, rdb)
				w.speak(dialect)
				w.approve("provider", "agr-1", "asset-1", "them-id")
				start := func(mid string) *answer {
					m := flowMessage(mid, "tp-p")
					if dialect == tenant.EDC017 {
						m = swapped(m)
					}
					return w.signal("provider", "start", m)
				}
				must := func(a *answer, state dps.State) *dps.StatusMessage {
					t.Helper()
					if a.code != http.StatusOK || a.status(t).State != state {
						t.Fatalf("%d %s, want %s", a.code, a.body, state)
					}
					return a.status(t)
				}
				first := must(start("m1"), dps.Started).DataAddress.Property(dps.PropertyAuthorization)
				must(w.signal("provider", "tp-p/suspend", `{}`), dps.Suspended)
				second := start("m2")
				fresh := must(second, dps.Started).DataAddress.Property(dps.PropertyAuthorization)
				if fresh == "" || fresh == first {
					t.Errorf("the second start answers with %s", second.body)
				}
				for _, mid := range []string{"m2", "m3"} { // sent again below HTTP, and by the control plane's own retry
					if again := start(mid); string(again.body) != string(second.body) {
						t.Errorf("a repeat of the second start answers %d %s, want %s", again.code, again.body, second.body)
					}
				}
				f, err := w.store.Get(t.Context(), "provider", "tp-p")
				if err != nil || f.TokenID != fresh || f.CounterPartyID != "them-id" || f.ParticipantID != "us-id" {
					t.Errorf("the flow: %+v %v", f, err)
				}

				must(w.signal("consumer", "prepare", flowMessage("m1", "tp-c")), dps.Prepared)
				must(w.signal("consumer", "tp-c/started", startedMessage("m2", "https://p.example/", "first")), dps.Started)
				must(w.signal("consumer", "tp-c/suspend", `{}`), dps.Suspended)
				if a := w.signal("consumer", "tp-c/started", `{}`); a.code != http.StatusBadRequest {
					t.Errorf("started again without an address: %d %s", a.code, a.body)
				}
				must(w.signal("consumer", "tp-c/started", startedMessage("m3", "https://p.example/", "second")), dps.Started)
				if addr, err := w.store.Address(t.Context(), "consumer", "tp-c"); err != nil || addr.Property(dps.PropertyAuthorization) != "second" {
					t.Errorf("the consumer's address: %v %v", addr, err)
				}
				var got []string
				for _, pc := range []string{"provider", "consumer"} {
					for _, e := range flowstoretest.Entries(t.Context(), t, rdb, pc) {
						got = append(got, pc+" "+e.Kind)
					}
				}
				if d := cmp.Diff([]string{
					"provider " + catalogue.DataFlowStarted, "provider " + catalogue.DataFlowSuspended, "provider " + catalogue.DataFlowResumed,
					"consumer " + catalogue.DataFlowPrepared, "consumer " + catalogue.DataFlowStarted, "consumer " + catalogue.DataFlowSuspended,
					"consumer " + catalogue.DataFlowResumed,
				}, got); d != "" {
					t.Error(d)
				}
			})
		})
	}
}

func TestAPushIsStartedAgainWithTheFreshAddress(t *testing.T) {
	rdb, _ := redistest.Mini(t)
	w := newWorld(t, rdb)
	w.speak(tenant.EDC016)
	w.approve("provider", "agr-1", "asset-1", "them-id")
	start := func(mid, token string) *answer {
		return w.signal("provider", "start", strings.Replace(pushTo(asPush(flowMessage(mid, "tp")), dps.ProfileHTTPPush, "https://c.example/in"), "secret-of-them", token, 1))
	}
	start("m1", "first")
	w.signal("provider", "tp/suspend", `{"messageId":"m2"}`)
	if a := start("m3", "second"); a.code != http.StatusOK || a.status(t).DataAddress != nil {
		t.Errorf("%d %s", a.code, a.body)
	}
	if addr, err := w.store.Address(t.Context(), "provider", "tp"); err != nil || addr.Property(dps.PropertyAuthorization) != "second" {
		t.Errorf("%v %v", addr, err)
	}
	// The consumer's side of it has no way to a fresh address: nothing may pretend that it goes on.
	w.signal("consumer", "prepare", asPush(flowMessage("m1", "tp-c")))
	w.signal("consumer", "tp-c/started", `{}`)
	w.signal("consumer", "tp-c/suspend", `{"messageId":"m2"}`)
	if a := w.signal("consumer", "tp-c/started", `{}`); a.code != http.StatusBadRequest || a.problem(t).Field != "state" {
		t.Errorf("started again: %d %s", a.code, a.body)
	}
}

func TestASecondStartIsRefused(t *testing.T) {
	for _, c := range []struct {
		name    string
		dialect tenant.Dialect
		suspend bool
		change  [2]string
		code    int
	}{
		{"of a suspended flow by the text", tenant.DPS10, true, [2]string{}, http.StatusConflict},
		{"of a suspended flow by EDC HEAD", tenant.EDCV, true, [2]string{}, http.StatusConflict},
		{"of a suspended flow by EDC 0.18", tenant.EDC018, true, [2]string{}, http.StatusConflict},
		{"of a started flow by EDC 0.16", tenant.EDC016, false, [2]string{"http-dsp-profile-2025-1", "another"}, http.StatusConflict},
		{"with another dataset by EDC 0.16", tenant.EDC016, true, [2]string{"asset-1", "asset-2"}, http.StatusConflict},
		{"with another agreement by EDC 0.16", tenant.EDC016, true, [2]string{"agr-1", "agr-2"}, http.StatusConflict},
		{"for another counterparty by EDC 0.16", tenant.EDC016, true, [2]string{`"counterPartyId":"them-id"`, `"counterPartyId":"eve"`}, http.StatusConflict},
		{"after a rejection by EDC 0.16", tenant.EDC016, true, [2]string{"reject"}, http.StatusForbidden},
	} {
		t.Run(c.name, func(t *testing.T) {
			rdb, _ := redistest.Mini(t)
			w := newWorld(t, rdb)
			w.speak(c.dialect)
			w.approve("provider", "agr-1", "asset-1", "them-id")
			w.signal("provider", "start", flowMessage("m1", "tp"))
			want := dps.Started
			if c.suspend {
				w.signal("provider", "tp/suspend", `{"messageId":"m2"}`)
				want = dps.Suspended
			}
			m := flowMessage("m3", "tp")
			if c.change[0] == "reject" {
				w.decision("provider", "agr-1", "asset-1", "them-id", gatewayapi.Rejected)
			} else {
				m = strings.Replace(m, c.change[0], c.change[1], 1)
			}
			a := w.signal("provider", "start", m)
			if a.code != c.code || (c.code == http.StatusConflict && a.problem(t).Field != "processId") {
				t.Errorf("%d %s, want %d", a.code, a.body, c.code)
			}
			if f, err := w.store.Get(t.Context(), "provider", "tp"); err != nil || f.State != want || f.CounterPartyID != "them-id" {
				t.Errorf("the flow is %+v %v", f, err)
			}
		})
	}
}

// TestToleratedFaults are the faults that a tenant's document can let pass.
func TestToleratedFaults(t *testing.T) {
	push := asPush(flowMessage("m1", "tp-p"))
	for _, tolerate := range []bool{false, true} {
		rdb, _ := redistest.Mini(t)
		w := newWorld(t, rdb)
		w.approve("provider", "agr-1", "asset-1", "them-id")
		if tolerate {
			for _, tn := range w.tenants {
				tn.ControlPlane.Tolerate = []tenant.Tolerance{tenant.ToleratePullWithoutAddress, tenant.TolerateHTTPAddressType}
			}
		}
		w.signal("consumer", "prepare", flowMessage("m1", "tp"))
		for what, a := range map[string]*answer{
			"started of a pull without an address":     w.signal("consumer", "tp/started", `{"messageId":"m2"}`),
			"the endpointType of HTTP in older drafts": w.signal("provider", "start", pushTo(push, dps.EndpointTypeHTTP, "https://c.example/in")),
		} {
			if ok := a.code == http.StatusOK; ok != tolerate {
				t.Errorf("%s, tolerated %v: %d %s", what, tolerate, a.code, a.body)
			}
		}
		if !tolerate {
			continue
		}
		if addr, err := w.store.Address(t.Context(), "provider", "tp-p"); err != nil || addr.EndpointType != dps.ProfileHTTPPush {
			t.Errorf("the type is kept as %v %v, which functions don't know", addr, err)
		}
	}
}

func TestTheTextWantsNoAddressOnTheStartedOfAPush(t *testing.T) {
	rdb, _ := redistest.Mini(t)
	w := newWorld(t, rdb)
	w.speak(tenant.DPS10)
	w.signal("consumer", "prepare", asPush(flowMessage("m1", "tp")))
	echo := `{"messageId":"m2","dataAddress":` + pushAddress("https://public.example/ingest/tp") + `}`
	if a := w.signal("consumer", "tp/started", echo); a.code != http.StatusBadRequest || a.problem(t).Field != "dataAddress" {
		t.Errorf("%d %s", a.code, a.body)
	}
	if a := w.signal("consumer", "tp/started", `{"messageId":"m2"}`); a.code != http.StatusOK {
		t.Errorf("%d %s", a.code, a.body)
	}
}
