package main

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/tidegate/tidegate/functions/internal/gatewaytest"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/management"
	"github.com/tidegate/tidegate/shared/problem"
)

// plane is a control plane in memory, as far as the publisher uses it.
type plane struct {
	mu          sync.Mutex
	assets      map[string]*management.Asset
	policies    map[string]*management.PolicyDefinition
	definitions map[string]*management.ContractDefinition
	agreed      bool // an agreement refers to every asset
	calls       int
	fault       func() gatewaytest.Fault
}

func newPlane() *plane {
	return &plane{
		assets: map[string]*management.Asset{}, policies: map[string]*management.PolicyDefinition{},
		definitions: map[string]*management.ContractDefinition{}, fault: func() gatewaytest.Fault { return gatewaytest.None },
	}
}

func (p *plane) call(do func() error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls++
	f := p.fault()
	if f == gatewaytest.Before {
		return problem.New(problem.Unavailable, "a fault was asked for")
	}
	err := do()
	if f == gatewaytest.After {
		return problem.New(problem.Timeout, "the answer is lost")
	}
	return err
}

func create[T any](p *plane, m map[string]*T, id string, v *T) error {
	return p.call(func() error {
		if m[id] != nil {
			return problem.New(problem.Conflict, "exists")
		}
		m[id] = v
		return nil
	})
}

func update[T any](p *plane, m map[string]*T, id string, v *T) error {
	return p.call(func() error {
		if m[id] == nil {
			return problem.New(problem.NotFound, "none")
		}
		m[id] = v
		return nil
	})
}

func get[T any](p *plane, m map[string]*T, id string) (*T, error) {
	var out *T
	err := p.call(func() error {
		if m[id] == nil {
			return problem.New(problem.NotFound, "none")
		}
		v := *m[id]
		out = &v
		return nil
	})
	return out, err
}

func (p *plane) CreateAsset(_ context.Context, a *management.Asset) error {
	return create(p, p.assets, a.ID, a)
}

func (p *plane) UpdateAsset(_ context.Context, a *management.Asset) error {
	return update(p, p.assets, a.ID, a)
}

func (p *plane) GetAsset(_ context.Context, id string) (*management.Asset, error) {
	a, err := get(p, p.assets, id)
	if err == nil {
		a.Properties, a.PrivateProperties = maps.Clone(a.Properties), maps.Clone(a.PrivateProperties)
		a.Properties["id"] = id // as EDC does
	}
	return a, err
}

func (p *plane) DeleteAsset(_ context.Context, id string) error {
	return p.call(func() error {
		switch {
		case p.assets[id] == nil:
			return problem.New(problem.NotFound, "none")
		case p.agreed:
			return problem.New(problem.Conflict, "an agreement refers to it")
		}
		delete(p.assets, id)
		return nil
	})
}

func (p *plane) CreatePolicy(_ context.Context, d *management.PolicyDefinition) error {
	return create(p, p.policies, d.ID, d)
}

func (p *plane) UpdatePolicy(_ context.Context, d *management.PolicyDefinition) error {
	return update(p, p.policies, d.ID, d)
}

func (p *plane) GetPolicy(_ context.Context, id string) (*management.PolicyDefinition, error) {
	return get(p, p.policies, id)
}

func (p *plane) CreateContractDefinition(_ context.Context, d *management.ContractDefinition) error {
	return create(p, p.definitions, d.ID, d)
}

func (p *plane) UpdateContractDefinition(_ context.Context, d *management.ContractDefinition) error {
	return update(p, p.definitions, d.ID, d)
}

func (p *plane) GetContractDefinition(_ context.Context, id string) (*management.ContractDefinition, error) {
	return get(p, p.definitions, id)
}

// failing asks f before each call to the outside, one at a time.
func (b *bench) failing(f func() gatewaytest.Fault) {
	b.plane.fault = f
	b.gateway.Fail(func(string, string) gatewaytest.Fault { return f() })
}

// end is what the world looks like, without the times.
type end struct {
	Record      gatewayapi.Dataset
	Published   bool
	Asset       *management.Asset
	Policies    map[string]*management.PolicyDefinition
	Definitions map[string]*management.ContractDefinition
}

func (b *bench) final(key string) end {
	r := b.record(key)
	e := end{Record: r, Published: !r.PublishedAt.IsZero(), Policies: b.plane.policies, Definitions: b.plane.definitions}
	if a := b.asset(key); a != nil {
		c := *a
		c.Properties = maps.Clone(c.Properties)
		delete(c.Properties, "modified")
		delete(c.Properties, "id")
		e.Asset = &c
	}
	e.Record.PublishedAt, e.Record.Modified, e.Record.StoreETag, e.Record.CausedBy = time.Time{}, time.Time{}, "", ""
	return e
}
