// Package planetest is a control plane in memory, for tests of functions: negotiations, agreements and transfers of one
// participant context, as the Management API shows them, with faults on request. Nothing in it moves by itself: a test says
// when a negotiation is concluded or a transfer ends.
package planetest

import (
	"cmp"
	"context"
	"iter"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/tidegate/tidegate/functions/internal/gatewaytest"
	"github.com/tidegate/tidegate/shared/management"
	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/tenant"
)

// The types of a negotiation.
const (
	Consumer = "CONSUMER"
	Provider = "PROVIDER"
)

// Plane is a control plane in memory.
type Plane struct {
	now func() time.Time

	mu           sync.Mutex
	serial       int
	offered      []*management.Dataset
	assets       map[string]*management.Asset
	negotiations []*management.Negotiation // in the order in which they began
	agreements   map[string]*management.Agreement
	transfers    map[string]*management.Transfer
	terminated   map[string]string // reason by negotiation
	refuse       map[string]error  // by call
	fault        func(call string) gatewaytest.Fault
}

// New returns an empty control plane whose clock is now.
func New(now func() time.Time) *Plane {
	p := &Plane{now: now, fault: func(string) gatewaytest.Fault { return gatewaytest.None }, refuse: map[string]error{}}
	p.Wipe()
	return p
}

// Wipe makes it forget everything but what is on offer, as one without persistence does when it restarts.
func (p *Plane) Wipe() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.assets, p.agreements = map[string]*management.Asset{}, map[string]*management.Agreement{}
	p.transfers, p.terminated = map[string]*management.Transfer{}, map[string]string{}
	p.negotiations = nil
}

// Fail has every call ask f how it is to fail.
func (p *Plane) Fail(f func(call string) gatewaytest.Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault = f
}

// Refuse has every call of a name refused with an error, until it is nil.
func (p *Plane) Refuse(call string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuse[call] = err
}

// Offer puts datasets into the counterparty's catalog, in place of what was there.
func (p *Plane) Offer(datasets ...*management.Dataset) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.offered = datasets
}

// AddAsset puts an asset there.
func (p *Plane) AddAsset(a *management.Asset) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.assets[a.ID] = a
}

// AddNegotiation begins a negotiation as a counterparty's request does.
func (p *Plane) AddNegotiation(n management.Negotiation) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n.CreatedAt == 0 {
		n.CreatedAt = p.now().UnixMilli()
	}
	p.negotiations = append(p.negotiations, &n)
}

// Conclude finalizes a negotiation under an agreement with these claims and returns the agreement's id.
func (p *Plane) Conclude(id string, claims map[string]any) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.negotiation(id)
	n.State, n.ContractAgreementID = "FINALIZED", "agreement-of-"+id
	p.agreements[n.ContractAgreementID] = &management.Agreement{
		ID: n.ContractAgreementID, AgreementID: "shared-" + id, AssetID: n.AssetID, Claims: claims,
		Policy: map[string]any{"permission": []any{map[string]any{"action": "use"}}},
	}
	return n.ContractAgreementID
}

// SetNegotiation sets the state of a negotiation.
func (p *Plane) SetNegotiation(id, state, detail string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.negotiation(id)
	n.State, n.ErrorDetail = state, detail
}

// SetTransfer sets the state of a transfer.
func (p *Plane) SetTransfer(id, state, detail string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := p.transfers[id]
	t.State, t.ErrorDetail, t.StateTimestamp = state, detail, p.now().UnixMilli()
}

// Negotiations returns all negotiations in the order in which they began.
func (p *Plane) Negotiations() []management.Negotiation {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make([]management.Negotiation, len(p.negotiations))
	for i, n := range p.negotiations {
		out[i] = *n
	}
	return out
}

// Transfers returns all transfers in the order of their ids.
func (p *Plane) Transfers() []management.Transfer {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make([]management.Transfer, 0, len(p.transfers))
	for _, t := range p.transfers {
		out = append(out, *t)
	}
	slices.SortFunc(out, func(a, b management.Transfer) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

// Terminated returns the reason with which a negotiation was terminated; false if it was not.
func (p *Plane) Terminated(id string) (string, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	reason, ok := p.terminated[id]
	return reason, ok
}

func (p *Plane) negotiation(id string) *management.Negotiation {
	for _, n := range p.negotiations {
		if n.ID == id {
			return n
		}
	}
	return nil
}

// call makes one call, with its fault.
func (p *Plane) call(ctx context.Context, name string, do func() error) error {
	p.mu.Lock()
	fault := p.fault
	p.mu.Unlock()
	f := fault(name)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return problem.Wrap(problem.Timeout, err, "the call was given up")
	}
	if err := p.refuse[name]; err != nil {
		return err
	}
	if f == gatewaytest.Before {
		return problem.New(problem.Unavailable, "a fault was asked for")
	}
	err := do()
	if f == gatewaytest.After {
		return problem.New(problem.Timeout, "the answer is lost")
	}
	return err
}

func read[T any](ctx context.Context, p *Plane, name string, find func() *T) (*T, error) {
	var out *T
	err := p.call(ctx, name, func() error {
		found := find()
		if found == nil {
			return problem.New(problem.NotFound, "there is none")
		}
		v := *found
		out = &v
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// Catalog pages through what is offered, two datasets a page; each page is a call.
func (p *Plane) Catalog(ctx context.Context, _ tenant.CounterParty, _ management.Query) iter.Seq2[*management.Dataset, error] {
	return pages(ctx, p, "Catalog", func() []*management.Dataset { return p.offered })
}

func pages[T any](ctx context.Context, p *Plane, name string, all func() []*T) iter.Seq2[*T, error] {
	return func(yield func(*T, error) bool) {
		const size = 2
		for from := 0; ; from += size {
			var page []*T
			more := false
			err := p.call(ctx, name, func() error {
				list := all()
				for _, v := range list[min(from, len(list)):min(from+size, len(list))] {
					c := *v
					page = append(page, &c)
				}
				more = len(list) > from+size
				return nil
			})
			if err != nil {
				yield(nil, err)
				return
			}
			for _, v := range page {
				if !yield(v, nil) {
					return
				}
			}
			if !more {
				return
			}
		}
	}
}

// Dataset reads one dataset of the catalog.
func (p *Plane) Dataset(ctx context.Context, _ tenant.CounterParty, id string) (*management.Dataset, error) {
	return read(ctx, p, "Dataset", func() *management.Dataset {
		for _, d := range p.offered {
			if d.ID == id {
				return d
			}
		}
		return nil
	})
}

// StartNegotiation begins a negotiation as consumer.
func (p *Plane) StartNegotiation(ctx context.Context, cp tenant.CounterParty, o *management.Offer) (string, error) {
	var id string
	err := p.call(ctx, "StartNegotiation", func() error {
		p.serial++
		id = "negotiation-" + strconv.Itoa(p.serial)
		p.negotiations = append(p.negotiations, &management.Negotiation{
			ID: id, Type: Consumer, State: "REQUESTED", CounterPartyID: cp.ID, CounterPartyAddress: cp.Address, AssetID: o.DatasetID,
			CreatedAt: p.now().UnixMilli(),
		})
		return nil
	})
	if err != nil {
		return "", err
	}
	return id, nil
}

// GetNegotiation reads a negotiation.
func (p *Plane) GetNegotiation(ctx context.Context, id string) (*management.Negotiation, error) {
	return read(ctx, p, "GetNegotiation", func() *management.Negotiation { return p.negotiation(id) })
}

// QueryNegotiations understands filters on type and counterPartyId, and sorts by createdAt.
func (p *Plane) QueryNegotiations(ctx context.Context, q management.Query) iter.Seq2[*management.Negotiation, error] {
	return pages(ctx, p, "QueryNegotiations", func() []*management.Negotiation {
		list := slices.Clone(p.negotiations)
		list = slices.DeleteFunc(list, func(n *management.Negotiation) bool {
			has := map[string]string{"type": n.Type, "counterPartyId": n.CounterPartyID}
			return slices.ContainsFunc(q.Filter, func(c management.Criterion) bool { return has[c.OperandLeft] != c.OperandRight })
		})
		if q.SortField == "createdAt" {
			slices.SortStableFunc(list, func(a, b *management.Negotiation) int { return cmp.Compare(a.CreatedAt, b.CreatedAt) })
		}
		if q.Desc {
			slices.Reverse(list)
		}
		return list
	})
}

// TerminateNegotiation does as EDC-V does: it leaves the negotiation TERMINATING, and fails on one that is concluded.
func (p *Plane) TerminateNegotiation(ctx context.Context, id, reason string) error {
	return p.call(ctx, "TerminateNegotiation", func() error {
		n := p.negotiation(id)
		switch {
		case n == nil:
			return problem.New(problem.NotFound, "there is none")
		case n.State == "FINALIZED":
			return problem.New(problem.Upstream, "the control plane answered 500")
		case n.State != "TERMINATED":
			n.State = "TERMINATING"
		}
		p.terminated[id] = reason
		return nil
	})
}

// NegotiationAgreement reads the agreement of a negotiation.
func (p *Plane) NegotiationAgreement(ctx context.Context, id string) (*management.Agreement, error) {
	return read(ctx, p, "NegotiationAgreement", func() *management.Agreement {
		if n := p.negotiation(id); n != nil {
			return p.agreements[n.ContractAgreementID]
		}
		return nil
	})
}

// AgreementNegotiation reads the negotiation of an agreement.
func (p *Plane) AgreementNegotiation(ctx context.Context, agreementID string) (*management.Negotiation, error) {
	return read(ctx, p, "AgreementNegotiation", func() *management.Negotiation {
		for _, n := range p.negotiations {
			if n.ContractAgreementID == agreementID {
				return n
			}
		}
		return nil
	})
}

// GetAsset reads an asset.
func (p *Plane) GetAsset(ctx context.Context, id string) (*management.Asset, error) {
	return read(ctx, p, "GetAsset", func() *management.Asset { return p.assets[id] })
}

// StartTransfer starts a transfer under an agreement; an id that exists is that transfer.
func (p *Plane) StartTransfer(ctx context.Context, id string, _ tenant.CounterParty, agreementID, transferType string) (string, error) {
	err := p.call(ctx, "StartTransfer", func() error {
		if p.transfers[id] != nil {
			return nil
		}
		a := p.agreements[agreementID]
		if a == nil {
			return problem.New(problem.Invalid, "there is no such agreement")
		}
		p.transfers[id] = &management.Transfer{
			ID: id, Type: Consumer, State: "REQUESTED", AssetID: a.AssetID, ContractID: agreementID, TransferType: transferType,
			StateTimestamp: p.now().UnixMilli(),
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	return id, nil
}

// GetTransfer reads a transfer.
func (p *Plane) GetTransfer(ctx context.Context, id string) (*management.Transfer, error) {
	return read(ctx, p, "GetTransfer", func() *management.Transfer { return p.transfers[id] })
}

// TerminateTransfer ends a transfer.
func (p *Plane) TerminateTransfer(ctx context.Context, id, reason string) error {
	return p.call(ctx, "TerminateTransfer", func() error {
		t := p.transfers[id]
		switch {
		case t == nil:
			return problem.New(problem.NotFound, "there is none")
		case t.State == "COMPLETED":
			return problem.New(problem.Conflict, "it is COMPLETED")
		}
		t.State, t.ErrorDetail = "TERMINATED", reason
		return nil
	})
}
