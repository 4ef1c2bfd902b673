package tenant_test

import (
	"errors"
	"testing"

	"github.com/tidegate/tidegate/shared/tenant"
)

func TestWhatIsMadeOfADocumentIsKeptUntilItIsReadAnew(t *testing.T) {
	made := map[string]int{}
	broken := errors.New("broken")
	d := tenant.Derive(func(t *tenant.Tenant) (string, error) {
		made[t.ParticipantContextID]++
		if t.DID == "" {
			return "half", broken
		}
		return t.DID, nil
	})
	one, two := &tenant.Tenant{ParticipantContextID: "one", DID: "did:web:one"}, &tenant.Tenant{ParticipantContextID: "two", DID: "did:web:two"}
	for range 2 {
		for _, doc := range []*tenant.Tenant{one, two} {
			if got, err := d.Of(doc); got != doc.DID || err != nil {
				t.Errorf("%s: %q %v", doc.ParticipantContextID, got, err)
			}
		}
	}
	anew := *one
	anew.DID = ""
	for range 2 { // a failure is not kept
		if got, err := d.Of(&anew); got != "" || !errors.Is(err, broken) {
			t.Errorf("%q %v", got, err)
		}
	}
	if made["one"] != 3 || made["two"] != 1 {
		t.Errorf("made %v", made)
	}
}
