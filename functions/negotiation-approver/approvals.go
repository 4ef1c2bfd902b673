package main

import (
	"sync"

	"github.com/tidegate/tidegate/functions/rules"
	"github.com/tidegate/tidegate/shared/tenant"
)

// approvals keeps the compiled rules of each tenant, until its document is read anew.
type approvals struct {
	mu   sync.Mutex
	byID map[string]compiled
}

type compiled struct {
	document *tenant.Tenant
	rules    *rules.Approval
}

func newApprovals() *approvals { return &approvals{byID: map[string]compiled{}} }

func (a *approvals) of(t *tenant.Tenant) (*rules.Approval, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if c, ok := a.byID[t.ParticipantContextID]; ok && c.document == t {
		return c.rules, nil
	}
	r, err := rules.CompileApproval(t.Approve)
	if err != nil {
		return nil, err
	}
	a.byID[t.ParticipantContextID] = compiled{document: t, rules: r}
	return r, nil
}
