package registration_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/dps-gateway/internal/redistest"
	"github.com/tidegate/tidegate/dps-gateway/internal/registration"
	"github.com/tidegate/tidegate/shared/dps"
)

// quick makes a registration left over after a second, which is what a call may take on a slow machine.
var quick = registration.Config{Every: 10 * time.Millisecond, Timeout: time.Second}

// TestATenantThatWentWhileNoGatewayRanIsDeregistered restarts the registrar without one of its tenants; two replicas start at once.
func TestATenantThatWentWhileNoGatewayRanIsDeregistered(t *testing.T) {
	rdb, _ := redistest.Mini(t)
	ts, e := &tenants{}, &edc{planes: map[string]*dps.DataPlaneRegistrationMessage{}}
	a, b, c := newTenant(t, "a"), newTenant(t, "b"), newTenant(t, "c")
	ts.set(a, b, c)
	_, stop := startOn(t, rdb, ts, e, quick)
	eventually(t, "all are registered", func() bool { return fmt.Sprint(e.ids()) == "[a-tidegate b-tidegate c-tidegate]" })
	stop()
	renamed := *c
	renamed.ControlPlane.Signaling.DataplaneID = "c-2"
	ts.set(a, &renamed)
	r, _ := startOn(t, rdb, ts, e, quick)
	startOn(t, rdb, ts, e, quick)
	eventually(t, "b is gone, c goes by its new id only", func() bool { return fmt.Sprint(e.ids()) == "[a-tidegate c-2]" })
	eventually(t, "nothing is left", func() bool {
		all, err := registration.NewMemory(rdb).All(t.Context())
		return err == nil && len(all) == 2 && len(r.Left()) == 0
	})
}

// TestADocumentThatIsKnownKeepsItsRegistration: a document that is broken at the start, or suspended, is not one that is gone.
func TestADocumentThatIsKnownKeepsItsRegistration(t *testing.T) {
	rdb, _ := redistest.Mini(t)
	ts, e := &tenants{}, &edc{planes: map[string]*dps.DataPlaneRegistrationMessage{}}
	a, b := newTenant(t, "a"), newTenant(t, "b")
	ts.set(a, b)
	_, stop := startOn(t, rdb, ts, e, quick)
	eventually(t, "both are registered", func() bool { return len(e.ids()) == 2 })
	stop()
	ts.set()
	ts.mu.Lock()
	ts.known = []string{"a"}
	ts.mu.Unlock()
	startOn(t, rdb, ts, e, quick)
	eventually(t, "b is gone", func() bool { return len(e.ids()) == 1 })
	if fmt.Sprint(e.ids()) != "[a-tidegate]" {
		t.Errorf("registered are %v", e.ids())
	}
}

// TestAnotherReplicasTenantIsLeftAlone: a document reaches replicas at different times.
func TestAnotherReplicasTenantIsLeftAlone(t *testing.T) {
	rdb, _ := redistest.Mini(t)
	e := &edc{planes: map[string]*dps.DataPlaneRegistrationMessage{}}
	first, late := &tenants{}, &tenants{}
	first.set(newTenant(t, "a"))
	cfg := registration.Config{Every: 20 * time.Millisecond, Timeout: time.Second}
	startOn(t, rdb, first, e, cfg)
	startOn(t, rdb, late, e, cfg)
	eventually(t, "many renewals", func() bool { return e.count() > 20 })
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, c := range e.calls {
		if strings.HasPrefix(c, "delete") {
			t.Fatalf("deregistered: %v", e.calls)
		}
	}
}

// TestWhatCanNotBeDeregisteredIsShownAndGivenUp: the files with the credentials may be gone with the document.
func TestWhatCanNotBeDeregisteredIsShownAndGivenUp(t *testing.T) {
	rdb, _ := redistest.Mini(t)
	ts, e := &tenants{}, &edc{planes: map[string]*dps.DataPlaneRegistrationMessage{}}
	ts.set(newTenant(t, "a"))
	_, stop := startOn(t, rdb, ts, e, quick)
	eventually(t, "registered", func() bool { return len(e.ids()) == 1 })
	stop()
	ts.set()
	e.mu.Lock()
	e.fail = 1 << 30
	e.mu.Unlock()
	r, stop := startOn(t, rdb, ts, e, quick)
	const want = "registration: the data plane a-tidegate is left over at the control plane and can't be deleted: the control plane is away"
	eventually(t, "it is shown", func() bool {
		l := r.Left()
		return len(l) == 1 && l[0].ParticipantContextID == "a" && fmt.Sprint(l[0].Problems) == "["+want+"]"
	})
	stop()
	tired := quick
	tired.GiveUp = 20 * time.Millisecond
	r, _ = startOn(t, rdb, ts, e, tired)
	eventually(t, "it is given up", func() bool {
		all, err := registration.NewMemory(rdb).All(t.Context())
		return err == nil && len(all) == 0 && len(r.Left()) == 0
	})
}
