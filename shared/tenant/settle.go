package tenant

import (
	"slices"

	"github.com/tidegate/tidegate/shared/problem"
)

// claim is something that only one tenant may have.
type claim struct{ field, what, value string }

// claims returns what no other tenant may have: the participant context, and the data plane's id at the control plane,
// where a second registration of an id takes the first one over.
func (t *Tenant) claims() []claim {
	return []claim{
		{"participantContextId", "participant context", t.ParticipantContextID},
		{"controlPlane.signaling.dataplaneId", "data plane of " + t.ControlPlane.ManagementURL, t.ControlPlane.Signaling.DataplaneID},
	}
}

// settle decides which versions are in force. Of several documents that claim the same, all are problems; the one that is
// in force stays as it is, and if none is, the first by file name is taken. What is broken keeps its last good version.
//
// Two tenants in force never have a claim in common: versions that stay had none before, and a new one is taken only if
// none of its claims is held by one that stays or was asked for by another document.
//
// It returns the participant contexts of the versions that are in force from now on.
func (r *Registry) settle(names []string) (taken []string) {
	asked := map[claim][]string{}
	for _, name := range names {
		d := r.files[name]
		d.clash = nil
		if d.candidate != nil {
			ask(asked, d.candidate, name)
		} else if d.inForce != nil {
			ask(asked, d.inForce, name)
		}
	}
	for again := true; again; { // a document that is held back may hold back another one that wants what it has
		again = false
		held := r.held(names)
		for _, name := range names {
			d := r.files[name]
			if d.candidate == nil || d.clash != nil {
				continue
			}
			if d.clash = clash(name, d.candidate, asked, held); d.clash != nil {
				again = true
			}
		}
	}
	held := r.held(names)
	for _, name := range names {
		d := r.files[name]
		if d.candidate == nil || d.clash != nil {
			continue
		}
		ask(held, d.candidate, name)
		taken = d.enforce(taken)
	}
	for _, name := range names {
		d := r.files[name]
		if d.clash != nil && d.inForce == nil && !slices.ContainsFunc(d.candidate.claims(), func(c claim) bool { return len(held[c]) > 0 }) {
			ask(held, d.candidate, name)
			taken = d.enforce(taken)
		}
		r.logProblem(name, d)
	}
	return taken
}

func ask(claims map[claim][]string, t *Tenant, name string) {
	for _, c := range t.claims() {
		claims[c] = append(claims[c], name)
	}
}

// held returns the claims of the versions in force that stay what they are.
func (r *Registry) held(names []string) map[claim][]string {
	held := map[claim][]string{}
	for _, name := range names {
		if d := r.files[name]; d.inForce != nil && (d.candidate == nil || d.clash != nil) {
			ask(held, d.inForce, name)
		}
	}
	return held
}

// clash returns the fault of a document whose claim another one makes or holds.
func clash(name string, t *Tenant, claims ...map[claim][]string) error {
	for _, c := range t.claims() {
		for _, m := range claims {
			for _, other := range m[c] {
				if other != name {
					return &FaultError{File: name, Line: max(t.Line(c.field), 1), Err: problem.Field(c.field,
						"%s is claimed by %s too; until one of them gives way, what is in force stays", quote(c.value), other)}
				}
			}
		}
	}
	return nil
}
