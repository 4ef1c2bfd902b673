package management

import (
	"context"
	"iter"

	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/tenant"
)

const transfers = "transferprocesses"

// transferRequest is a TransferRequest.
type transferRequest struct {
	Context             []string `json:"@context"`
	Type                string   `json:"@type"`
	ID                  string   `json:"@id,omitempty"`
	Profile             string   `json:"profile"`
	CounterPartyAddress string   `json:"counterPartyAddress"`
	ContractID          string   `json:"contractId"`
	TransferType        string   `json:"transferType"`
}

// StartTransfer asks the counterparty for the data of an agreement and returns the id of the transfer process.
//
// A given id makes it idempotent: EDC answers an id that exists with that process, and a conflict about it is a success if
// the process that is read back is one of this agreement, else Conflict. With id "" every request that arrives is a new
// transfer, so it is sent at most once.
func (c *Client) StartTransfer(ctx context.Context, id string, cp tenant.CounterParty, agreementID, transferType string) (string, error) {
	got, err := c.start(ctx, transfers, transferRequest{
		Context: jsonLD, Type: "TransferRequest", ID: id, Profile: c.profile,
		CounterPartyAddress: cp.Address, ContractID: agreementID, TransferType: transferType,
	}, id == "")
	switch {
	case id == "":
		return got, err
	case problem.Is(err, problem.Conflict):
		if t, gerr := c.GetTransfer(ctx, id); gerr != nil || t.ID != id || t.ContractID != agreementID {
			return "", err
		}
		return id, nil
	case err != nil:
		return "", err
	case got != id:
		return "", problem.New(problem.Upstream, "the control plane started transfer %s, asked for was %s", short(got), id)
	}
	return id, nil
}

// GetTransfer reads a transfer process; NotFound if there is none.
func (c *Client) GetTransfer(ctx context.Context, id string) (*Transfer, error) {
	return get[Transfer](ctx, c, at(transfers, id))
}

// QueryTransfers pages through transfer processes.
func (c *Client) QueryTransfers(ctx context.Context, q Query) iter.Seq2[*Transfer, error] {
	return query(ctx, c, transfers, q, func(t *Transfer) string { return t.ID })
}

// TerminateTransfer ends a transfer process; Conflict if its state does not allow it.
func (c *Client) TerminateTransfer(ctx context.Context, id, reason string) error {
	return c.command(ctx, at(transfers, id, "terminate"), terminate{Context: jsonLD, Type: "TerminateTransfer", Reason: cut(reason)})
}

// SuspendTransfer suspends a transfer process; Conflict if its state does not allow it.
func (c *Client) SuspendTransfer(ctx context.Context, id, reason string) error {
	return c.command(ctx, at(transfers, id, "suspend"), terminate{Context: jsonLD, Type: "SuspendTransfer", Reason: cut(reason)})
}

// ResumeTransfer resumes a suspended transfer process; Conflict if its state does not allow it.
func (c *Client) ResumeTransfer(ctx context.Context, id string) error {
	return c.command(ctx, at(transfers, id, "resume"), nil)
}
