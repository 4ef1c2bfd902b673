package management

import (
	"context"
	"iter"
	"net/http"

	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/tenant"
)

const (
	negotiations = "contractnegotiations"
	maxReason    = 1000 // bytes of a reason for termination or suspension
)

// contractRequest is a ContractRequest.
type contractRequest struct {
	Context             []string       `json:"@context"`
	Type                string         `json:"@type"`
	Profile             string         `json:"profile"`
	CounterPartyAddress string         `json:"counterPartyAddress"`
	CounterPartyID      string         `json:"counterPartyId"`
	Policy              map[string]any `json:"policy"`
}

// terminate is a TerminateNegotiation, TerminateTransfer or SuspendTransfer.
type terminate struct {
	Context []string `json:"@context"`
	Type    string   `json:"@type"`
	ID      string   `json:"@id,omitempty"`
	Reason  string   `json:"reason,omitempty"`
}

// StartNegotiation asks the counterparty for an agreement on an offer of its catalog, with the offer's rules as received,
// and returns the id of the negotiation. The API takes no id from us, so a repeat would be a second negotiation: it is
// sent at most once. After an error of a kind that is Temporary the negotiation may exist; QueryNegotiations tells.
func (c *Client) StartNegotiation(ctx context.Context, cp tenant.CounterParty, o *Offer) (id string, err error) {
	policy := withoutEmptyLists(o.Policy)
	policy["@type"] = "Offer"
	policy["@id"] = o.ID
	policy["assigner"] = cp.ID
	policy["target"] = o.DatasetID
	return c.start(ctx, negotiations, contractRequest{
		Context: jsonLD, Type: "ContractRequest", Profile: c.profile,
		CounterPartyAddress: cp.Address, CounterPartyID: cp.ID, Policy: policy,
	}, true)
}

// start posts a request and returns the id in the answer.
func (c *Client) start(ctx context.Context, resource string, body any, once bool) (string, error) {
	var answer idResponse
	if _, err := c.do(ctx, call{method: http.MethodPost, path: at(resource), body: body, once: once}, &answer); err != nil {
		return "", err
	}
	if answer.ID == "" {
		return "", problem.New(problem.Upstream, "the control plane's answer to POST %s has no @id", at(resource))
	}
	return answer.ID, nil
}

// GetNegotiation reads a negotiation; NotFound if there is none.
func (c *Client) GetNegotiation(ctx context.Context, id string) (*Negotiation, error) {
	return get[Negotiation](ctx, c, at(negotiations, id))
}

// QueryNegotiations pages through negotiations.
func (c *Client) QueryNegotiations(ctx context.Context, q Query) iter.Seq2[*Negotiation, error] {
	return query(ctx, c, negotiations, q, func(n *Negotiation) string { return n.ID })
}

// NegotiationAgreement reads the agreement of a negotiation; NotFound if there is none yet.
func (c *Client) NegotiationAgreement(ctx context.Context, id string) (*Agreement, error) {
	return get[Agreement](ctx, c, at(negotiations, id, "agreement"))
}

// TerminateNegotiation ends a negotiation; Conflict or Upstream if it is too far for that (EDC-V answers 500 for a
// FINALIZED one). That EDC-V took it says little: it does not tell the counterparty.
func (c *Client) TerminateNegotiation(ctx context.Context, id, reason string) error {
	return c.command(ctx, at(negotiations, id, "terminate"),
		terminate{Context: jsonLD, Type: "TerminateNegotiation", ID: id, Reason: cut(reason)})
}

func cut(reason string) string {
	if len(reason) <= maxReason {
		return reason
	}
	end := maxReason
	for end > 0 && reason[end]&0xC0 == 0x80 { // not inside a UTF-8 sequence
		end--
	}
	return reason[:end]
}
