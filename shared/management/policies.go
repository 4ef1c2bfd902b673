package management

import (
	"context"
	"maps"
)

const policyDefinitions = "policydefinitions"

// policyBody is a PolicyDefinition on the wire.
type policyBody struct {
	Context []string       `json:"@context"`
	Type    string         `json:"@type"`
	ID      string         `json:"@id"`
	Policy  map[string]any `json:"policy"`
}

// body makes the policy a Set, the only type that the API takes, and leaves out empty lists, which its schema refuses.
func (p *PolicyDefinition) body() policyBody {
	policy := withoutEmptyLists(p.Policy)
	policy["@type"] = "Set"
	return policyBody{Context: jsonLD, Type: "PolicyDefinition", ID: p.ID, Policy: policy}
}

// withoutEmptyLists copies a policy without lists of rules that are empty: the API's schemas demand one rule at least.
func withoutEmptyLists(policy map[string]any) map[string]any {
	out := maps.Clone(policy)
	if out == nil {
		out = map[string]any{}
	}
	for _, list := range ruleLists() {
		switch v := out[list].(type) {
		case nil:
			delete(out, list)
		case []any:
			if len(v) == 0 {
				delete(out, list)
			}
		}
	}
	return out
}

// ruleLists are the members of a policy that hold rules.
func ruleLists() []string { return []string{"permission", "prohibition", "obligation"} }

// CreatePolicy creates a policy definition; Conflict if its id exists. The policy's @type is made Set.
func (c *Client) CreatePolicy(ctx context.Context, p *PolicyDefinition) error {
	return c.create(ctx, at(policyDefinitions), p.body(), readBack(
		func() (*PolicyDefinition, error) { return c.GetPolicy(ctx, p.ID) },
		func(got *PolicyDefinition) bool { return got.ID == p.ID }))
}

// UpdatePolicy replaces a policy definition; NotFound if there is none. Offers that are out already change with it.
func (c *Client) UpdatePolicy(ctx context.Context, p *PolicyDefinition) error {
	return c.update(ctx, at(policyDefinitions, p.ID), p.body())
}

// GetPolicy reads a policy definition; NotFound if there is none.
func (c *Client) GetPolicy(ctx context.Context, id string) (*PolicyDefinition, error) {
	return get[PolicyDefinition](ctx, c, at(policyDefinitions, id))
}

// DeletePolicy deletes a policy definition, if it is there; Conflict if a contract definition uses it.
func (c *Client) DeletePolicy(ctx context.Context, id string) error {
	return c.remove(ctx, at(policyDefinitions, id))
}
