package api

import (
	"net/http"

	"github.com/tidegate/tidegate/infra/sandbox/engine"
	"github.com/tidegate/tidegate/infra/sandbox/model"
	"github.com/tidegate/tidegate/infra/sandbox/query"
)

func startTransfer(c *call) (int, any, error) {
	d, err := c.read("TransferRequest", "counterPartyAddress", "contractId", "transferType")
	if err != nil {
		return 0, nil, err
	}
	n := &need{d: d} // dataDestination and assetId are not read: HEAD ignores them
	r := engine.TransferRequest{
		ID: n.text("@id"), Profile: profileOf(n), CounterPartyAddress: n.text("counterPartyAddress"), ContractID: n.text("contractId"),
		TransferType: n.text("transferType"), CallbackAddresses: parseCallbacks(n),
		PrivateProperties: expand(n.object("privateProperties")), DataplaneMetadata: parseMetadata(n),
	}
	if err := n.err(); err != nil {
		return 0, nil, err
	}
	if err := c.own(); err != nil {
		return 0, nil, err
	}
	t, fault := c.Engine.StartTransfer(c.pc, r)
	if fault != nil {
		return 0, nil, fault
	}
	return http.StatusOK, idResponse(t.ID, t.CreatedAt), nil
}

func queryTransfers(c *call) (int, any, error) {
	return list(c, c.Engine.Store.Transfers, query.Transfer, renderTransfer)
}

func getTransfer(c *call) (int, any, error) {
	return get(c, c.Engine.Store.Transfers, "TransferProcess", renderTransfer)
}

func getTransferState(c *call) (int, any, error) {
	return get(c, c.Engine.Store.Transfers, "TransferProcess", func(t *model.Transfer) map[string]any {
		return withContext(map[string]any{"@type": "TransferState", "state": t.State})
	})
}

// commandTransfer is terminate, suspend (with a body of the type) or resume (without one).
func commandTransfer(typ string, cmd engine.Command) handler {
	return func(c *call) (int, any, error) {
		reason := ""
		if typ != "" {
			d, err := c.read(typ)
			if err != nil {
				return 0, nil, err
			}
			n := &need{d: d}
			reason = n.text("reason")
			if err := n.err(); err != nil {
				return 0, nil, err
			}
		}
		t, err := find(c, c.Engine.Store.Transfers, "TransferProcess")
		if err != nil {
			return 0, nil, err
		}
		if fault := c.Engine.Command(c.ctx, c.pc, t.ID, reason, cmd); fault != nil {
			return 0, nil, fault
		}
		return http.StatusNoContent, nil, nil
	}
}

func renderTransfer(t *model.Transfer) map[string]any {
	m := withContext(map[string]any{
		"@id": t.ID, "@type": "TransferProcess", "state": t.State, "stateTimestamp": t.StateTimestamp, "type": t.Type,
		"callbackAddresses": renderCallbacks(t.CallbackAddresses), "assetId": t.AssetID, "contractId": t.ContractID,
		"transferType": t.TransferType, "dataplaneMetadata": renderMetadata(t.DataplaneMetadata),
	})
	optional(m, "correlationId", t.CorrelationID)
	optional(m, "errorDetail", t.ErrorDetail)
	if len(t.PrivateProperties) > 0 {
		m["privateProperties"] = compact(t.PrivateProperties)
	}
	return m
}
