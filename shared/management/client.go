// Package management is a client of the EDC Management API v5beta, for one participant context.
package management

import (
	"context"
	"iter"
	"net/http"

	"github.com/tidegate/tidegate/shared/auth"
	"github.com/tidegate/tidegate/shared/dps"
	"github.com/tidegate/tidegate/shared/tenant"
)

// Client calls the Management API for one participant context.
type Client struct{}

// New returns a client; hc may be nil.
func New(t *tenant.Tenant, ts auth.TokenSource, hc *http.Client) *Client { panic("stub") }

// Create… answers problem.Conflict if the id exists; Get… and Update… problem.NotFound if it doesn't.

func (c *Client) CreateAsset(ctx context.Context, a *Asset) error                     { panic("stub") }
func (c *Client) UpdateAsset(ctx context.Context, a *Asset) error                     { panic("stub") }
func (c *Client) GetAsset(ctx context.Context, id string) (*Asset, error)             { panic("stub") }
func (c *Client) DeleteAsset(ctx context.Context, id string) error                    { panic("stub") }
func (c *Client) QueryAssets(ctx context.Context, q Query) iter.Seq2[*Asset, error]   { panic("stub") }
func (c *Client) CreatePolicy(ctx context.Context, p *PolicyDefinition) error         { panic("stub") }
func (c *Client) UpdatePolicy(ctx context.Context, p *PolicyDefinition) error         { panic("stub") }
func (c *Client) GetPolicy(ctx context.Context, id string) (*PolicyDefinition, error) { panic("stub") }
func (c *Client) DeletePolicy(ctx context.Context, id string) error                   { panic("stub") }
func (c *Client) CreateContractDefinition(ctx context.Context, d *ContractDefinition) error {
	panic("stub")
}
func (c *Client) UpdateContractDefinition(ctx context.Context, d *ContractDefinition) error {
	panic("stub")
}
func (c *Client) GetContractDefinition(ctx context.Context, id string) (*ContractDefinition, error) {
	panic("stub")
}
func (c *Client) DeleteContractDefinition(ctx context.Context, id string) error { panic("stub") }
func (c *Client) QueryContractDefinitions(ctx context.Context, q Query) iter.Seq2[*ContractDefinition, error] {
	panic("stub")
}

// Catalog asks the counterparty for its catalog, page by page.
func (c *Client) Catalog(ctx context.Context, cp tenant.CounterParty, q Query) iter.Seq2[*Dataset, error] {
	panic("stub")
}
func (c *Client) Dataset(ctx context.Context, cp tenant.CounterParty, id string) (*Dataset, error) {
	panic("stub")
}

func (c *Client) StartNegotiation(ctx context.Context, cp tenant.CounterParty, o *Offer) (id string, err error) {
	panic("stub")
}
func (c *Client) GetNegotiation(ctx context.Context, id string) (*Negotiation, error) { panic("stub") }
func (c *Client) QueryNegotiations(ctx context.Context, q Query) iter.Seq2[*Negotiation, error] {
	panic("stub")
}
func (c *Client) NegotiationAgreement(ctx context.Context, id string) (*Agreement, error) {
	panic("stub")
}
func (c *Client) TerminateNegotiation(ctx context.Context, id, reason string) error { panic("stub") }
func (c *Client) GetAgreement(ctx context.Context, id string) (*Agreement, error)   { panic("stub") }
func (c *Client) QueryAgreements(ctx context.Context, q Query) iter.Seq2[*Agreement, error] {
	panic("stub")
}
func (c *Client) AgreementNegotiation(ctx context.Context, agreementID string) (*Negotiation, error) {
	panic("stub")
}

// StartTransfer starts a transfer; a given id makes it idempotent (Conflict if it exists).
func (c *Client) StartTransfer(ctx context.Context, id string, cp tenant.CounterParty, agreementID, transferType string) (string, error) {
	panic("stub")
}
func (c *Client) GetTransfer(ctx context.Context, id string) (*Transfer, error) { panic("stub") }
func (c *Client) QueryTransfers(ctx context.Context, q Query) iter.Seq2[*Transfer, error] {
	panic("stub")
}
func (c *Client) TerminateTransfer(ctx context.Context, id, reason string) error { panic("stub") }
func (c *Client) SuspendTransfer(ctx context.Context, id, reason string) error   { panic("stub") }
func (c *Client) ResumeTransfer(ctx context.Context, id string) error            { panic("stub") }

func (c *Client) RegisterDataPlane(ctx context.Context, m *dps.DataPlaneRegistrationMessage) error {
	panic("stub")
}
func (c *Client) DeleteDataPlane(ctx context.Context, id string) error { panic("stub") }
