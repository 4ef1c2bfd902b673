package tenant_test

import (
	"testing"

	"github.com/tidegate/tidegate/shared/problem"
)

func TestATenantThatOthersKnowFirstIsWaitedFor(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "suspended.yaml", document("asleep")+"suspended: true\n")
	write(t, dir, "broken.yaml", "participantContextId: broken\nnothing: of the kind\n")
	r := open(t, dir)
	for _, pc := range []string{"asleep", "broken"} {
		if _, err := r.Expect(pc); !problem.Is(err, problem.NotFound) {
			t.Errorf("%s: %v, want one that is not brought again", pc, err)
		}
	}
	write(t, dir, "newcomer.yaml", document("newcomer"))
	if tn, err := r.Expect("newcomer"); err != nil || tn.ParticipantContextID != "newcomer" {
		t.Errorf("a tenant whose document came a moment ago is %v, %v", tn, err)
	}
	if _, err := r.Expect("stranger"); !problem.Is(err, problem.Unavailable) {
		t.Errorf("a tenant without a document: %v, want one that is brought again", err)
	}
	write(t, dir, "stranger.yaml", document("stranger"))
	if _, err := r.Expect("stranger"); !problem.Is(err, problem.Unavailable) {
		t.Errorf("the folder was read twice within a second: %v", err)
	}
}
