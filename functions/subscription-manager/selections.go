package main

import (
	"sync"

	"github.com/tidegate/tidegate/functions/rules"
	"github.com/tidegate/tidegate/shared/tenant"
)

// selections keeps the compiled expressions of each tenant's subscriptions, until its document is read anew.
type selections struct {
	mu   sync.Mutex
	byID map[string]selected
}

type selected struct {
	document *tenant.Tenant
	each     []*rules.Selection // by the subscription's place in the document
}

func newSelections() *selections { return &selections{byID: map[string]selected{}} }

// of returns the compiled expressions of a tenant's i-th subscription.
func (s *selections) of(t *tenant.Tenant, i int) (*rules.Selection, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	known, ok := s.byID[t.ParticipantContextID]
	if !ok || known.document != t {
		known = selected{document: t, each: make([]*rules.Selection, len(t.Subscribe))}
		s.byID[t.ParticipantContextID] = known
	}
	if known.each[i] == nil {
		one, err := rules.CompileSelection(t.Subscribe[i], i)
		if err != nil {
			return nil, err
		}
		known.each[i] = one
	}
	return known.each[i], nil
}
