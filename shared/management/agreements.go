package management

import (
	"context"
	"iter"
)

const agreements = "contractagreements"

// GetAgreement reads an agreement by the id that it has at this control plane; NotFound if there is none.
func (c *Client) GetAgreement(ctx context.Context, id string) (*Agreement, error) {
	return get[Agreement](ctx, c, at(agreements, id))
}

// QueryAgreements pages through agreements.
func (c *Client) QueryAgreements(ctx context.Context, q Query) iter.Seq2[*Agreement, error] {
	return query(ctx, c, agreements, q, func(a *Agreement) string { return a.ID })
}

// AgreementNegotiation reads the negotiation that led to an agreement; NotFound if there is none.
func (c *Client) AgreementNegotiation(ctx context.Context, agreementID string) (*Negotiation, error) {
	return get[Negotiation](ctx, c, at(agreements, agreementID, "negotiation"))
}
