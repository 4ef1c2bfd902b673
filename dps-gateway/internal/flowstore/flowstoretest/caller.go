package flowstoretest

import (
	"testing"

	"github.com/tidegate/tidegate/dps-gateway/internal/flowstore"
	"github.com/tidegate/tidegate/shared/dps"
)

// caller: a flow is of the control plane that made it. Another one of the same tenant is told that there is none, also when it repeats
// the very message of the first; a function or an operator reaches the flows of all.
func caller(t *testing.T, s Suite, pc string) {
	t.Helper()
	as := func(tr *flowstore.Transition, controlPlane string) *flowstore.Transition {
		tr.Caller = &flowstore.Caller{ControlPlane: controlPlane}
		return tr
	}
	for i, owner := range []string{"", "x"} {
		id, other := string(rune('a'+i)), map[string]string{"": "x", "x": ""}[owner]
		want(t, apply(t, s, as(Create(pc, id, dps.Provider), owner)), flowstore.Applied, dps.Started)
		want(t, apply(t, s, as(Create(pc, id, dps.Provider), owner)), flowstore.Replayed, dps.Started)
		for _, stranger := range []string{other, "y"} {
			want(t, apply(t, s, as(Create(pc, id, dps.Provider), stranger)), flowstore.Exists, "")
			want(t, apply(t, s, as(Move(pc, id, flowstore.Suspend, "m2", dps.Suspended, dps.Started), stranger)), flowstore.Unknown, "")
		}
		f, err := s.Store.Get(t.Context(), pc, id)
		if err != nil || f.ControlPlane != owner || f.State != dps.Started {
			t.Errorf("%+v %v", f, err)
		}
		want(t, apply(t, s, as(Move(pc, id, flowstore.Suspend, "m2", dps.Suspended, dps.Started), owner)), flowstore.Applied, dps.Suspended)
		want(t, apply(t, s, Move(pc, id, flowstore.Terminate, "m3", dps.Terminated, dps.Suspended)), flowstore.Applied, dps.Terminated)
	}
}
