package dps

import (
	"time"
)

// Agreement is a DSP 2025/1 agreement, as GET /transfers/{id}/agreement of a control plane answers it (DPS 1.0, control plane endpoints).
type Agreement struct {
	ID        string
	Target    string // the dataset
	Assigner  string // the provider's participant id
	Assignee  string // the consumer's participant id
	Timestamp time.Time
	Policy    map[string]any // the rules as they stand: permission, prohibition, obligation
}

// DecodeAgreement reads an agreement. What it does not know, @context among it, is of no interest.
func DecodeAgreement(body []byte) (*Agreement, error) {
	return decode(body, func(r *reader) *Agreement {
		a := &Agreement{
			ID: r.need("@id"), Target: r.need("target"), Assigner: r.need("assigner"), Assignee: r.need("assignee"), Policy: map[string]any{},
		}
		if s := r.text("timestamp"); s != "" {
			at, err := time.Parse(time.RFC3339, s)
			if err != nil {
				r.fail("timestamp", "is no date and time, want one like 2026-01-31T12:00:00Z")
			}
			a.Timestamp = at.UTC()
		}
		for _, rules := range []string{"permission", "prohibition", "obligation"} {
			if v, ok := r.o[rules]; ok && v != nil {
				p := plain(v)
				if p == nil {
					r.fail(rules, "holds a number out of range")
				}
				a.Policy[rules] = p
			}
		}
		return a
	})
}
