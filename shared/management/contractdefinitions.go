package management

import (
	"context"
	"encoding/json"
	"iter"
)

const contractDefinitions = "contractdefinitions"

// contractDefinitionBody is a ContractDefinition on the wire.
type contractDefinitionBody struct {
	Context          []string    `json:"@context"`
	Type             string      `json:"@type"`
	ID               string      `json:"@id"`
	AccessPolicyID   string      `json:"accessPolicyId"`
	ContractPolicyID string      `json:"contractPolicyId"`
	AssetsSelector   []criterion `json:"assetsSelector"`
}

func (d *ContractDefinition) body() contractDefinitionBody {
	return contractDefinitionBody{
		Context: jsonLD, Type: "ContractDefinition", ID: d.ID,
		AccessPolicyID: d.AccessPolicyID, ContractPolicyID: d.ContractPolicyID, AssetsSelector: criteria(d.AssetsSelector),
	}
}

// UnmarshalJSON takes a selector of one criterion as a single object too.
func (d *ContractDefinition) UnmarshalJSON(data []byte) error {
	type plain ContractDefinition
	p := struct {
		*plain
		AssetsSelector many[Criterion] `json:"assetsSelector"`
	}{plain: &plain{}}
	if err := json.Unmarshal(data, &p); err != nil {
		return err
	}
	*d = ContractDefinition(*p.plain)
	d.AssetsSelector = nil
	for _, c := range p.AssetsSelector {
		d.AssetsSelector = append(d.AssetsSelector, *c)
	}
	return nil
}

// CreateContractDefinition creates a contract definition; Conflict if its id exists. A definition without selector offers
// every asset of the participant.
func (c *Client) CreateContractDefinition(ctx context.Context, d *ContractDefinition) error {
	return c.create(ctx, at(contractDefinitions), d.body(), readBack(
		func() (*ContractDefinition, error) { return c.GetContractDefinition(ctx, d.ID) },
		func(got *ContractDefinition) bool { return got.ID == d.ID }))
}

// UpdateContractDefinition replaces a contract definition; NotFound if there is none.
func (c *Client) UpdateContractDefinition(ctx context.Context, d *ContractDefinition) error {
	return c.update(ctx, at(contractDefinitions), d.body())
}

// GetContractDefinition reads a contract definition; NotFound if there is none.
func (c *Client) GetContractDefinition(ctx context.Context, id string) (*ContractDefinition, error) {
	return get[ContractDefinition](ctx, c, at(contractDefinitions, id))
}

// DeleteContractDefinition deletes a contract definition, if it is there.
func (c *Client) DeleteContractDefinition(ctx context.Context, id string) error {
	return c.remove(ctx, at(contractDefinitions, id))
}

// QueryContractDefinitions pages through contract definitions.
func (c *Client) QueryContractDefinitions(ctx context.Context, q Query) iter.Seq2[*ContractDefinition, error] {
	return query(ctx, c, contractDefinitions, q, func(d *ContractDefinition) string { return d.ID })
}
