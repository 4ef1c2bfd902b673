// Package events publishes what happens at the control plane as EDC does: CloudEvents over HTTP in binary mode to one sink for
// all tenants, and callbacks (static and per request). Transactional callbacks are called before the change is answered and can
// refuse it. Everything else is sent at most once: a failure is logged and the event is gone.
package events

import (
	"time"

	"github.com/google/uuid"

	"github.com/tidegate/tidegate/infra/sandbox/model"
)

// Event is one event. Its id is the same in the CloudEvent and in every callback.
type Event struct {
	ID                   string
	At                   time.Time
	Name                 string // as callbacks filter by: contract.negotiation.requested
	Class                string // the Java class, without its package
	Package              string
	ParticipantContextID string
	Payload              map[string]any
	Callbacks            []model.CallbackAddress // of the request that started the process
}

// The packages of the Java classes.
const (
	pkgAsset       = "org.eclipse.edc.connector.controlplane.asset.spi.event."
	pkgPolicy      = "org.eclipse.edc.connector.controlplane.policy.spi.event."
	pkgDefinition  = "org.eclipse.edc.connector.controlplane.contract.spi.event.contractdefinition."
	pkgNegotiation = "org.eclipse.edc.connector.controlplane.contract.spi.event.contractnegotiation."
	pkgTransfer    = "org.eclipse.edc.connector.controlplane.transfer.spi.event."
)

func newEvent(pkg, class, name, pc string, payload map[string]any, cbs []model.CallbackAddress) *Event {
	payload["participantContextId"] = pc
	return &Event{
		ID: uuid.NewString(), At: time.Now(), Name: name, Class: class, Package: pkg,
		ParticipantContextID: pc, Payload: payload, Callbacks: cbs,
	}
}

// Asset is asset.created, .updated or .deleted; what is "Created", "Updated" or "Deleted".
func Asset(what string, a *model.Asset) *Event {
	return newEvent(pkgAsset, "Asset"+what, "asset."+lower(what), a.ParticipantContextID, map[string]any{"assetId": a.ID}, nil)
}

// Policy is policy.definition.*.
func Policy(what string, p *model.PolicyDefinition) *Event {
	return newEvent(pkgPolicy, "PolicyDefinition"+what, "policy.definition."+lower(what), p.ParticipantContextID,
		map[string]any{"policyDefinitionId": p.ID}, nil)
}

// Definition is contract.definition.*.
func Definition(what string, d *model.ContractDefinition) *Event {
	return newEvent(pkgDefinition, "ContractDefinition"+what, "contract.definition."+lower(what), d.ParticipantContextID,
		map[string]any{"contractDefinitionId": d.ID}, nil)
}

// Negotiation is contract.negotiation.*; agreement only for Finalized, reason only for Terminated.
func Negotiation(what string, n *model.Negotiation, agreement *model.Agreement) *Event {
	offer := map[string]any{"id": n.Offer.ID, "assetId": n.Offer.AssetID, "policy": policy("offer", n.Offer.Policy, n.Offer.AssetID, "", "")}
	payload := map[string]any{
		"contractNegotiationId": n.ID, "counterPartyAddress": n.CounterPartyAddress, "counterPartyId": n.CounterPartyID,
		"callbackAddresses": callbacks(n.CallbackAddresses), "contractOffers": []any{offer}, "lastContractOffer": offer, "protocol": n.Protocol,
	}
	if agreement != nil {
		payload["contractAgreement"] = map[string]any{
			"id": agreement.ID, "providerId": agreement.ProviderID, "consumerId": agreement.ConsumerID,
			"contractSigningDate": agreement.SigningDate, "assetId": agreement.AssetID,
			"policy":               policy("contract", agreement.Policy, agreement.AssetID, agreement.ProviderID, agreement.ConsumerID),
			"participantContextId": agreement.ParticipantContextID, "agreementId": agreement.AgreementID, "claims": agreement.Claims,
		}
	}
	if what == "Terminated" {
		payload["reason"] = orNull(n.ErrorDetail)
	}
	return newEvent(pkgNegotiation, "ContractNegotiation"+what, "contract.negotiation."+lower(what), n.ParticipantContextID, payload, n.CallbackAddresses)
}

// Transfer is transfer.process.*. The Started event of the side that received the data address carries it, token and all.
func Transfer(what string, t *model.Transfer) *Event {
	payload := map[string]any{
		"transferProcessId": t.ID, "callbackAddresses": callbacks(t.CallbackAddresses), "assetId": t.AssetID, "type": t.Type,
		"contractId": t.ContractID, "protocol": t.Protocol,
	}
	name := "transfer.process." + lower(what)
	switch what {
	case "Started":
		payload["dataAddress"] = nil
		if t.Type == model.Consumer && t.DataAddress != nil && !t.Owner {
			payload["dataAddress"] = dataAddress(t.DataAddress)
		}
	case "Suspended", "Terminated":
		payload["reason"] = orNull(t.ErrorDetail)
	case "Resumed":
		name = "transfer.process.resuming" // EDC's name for this class
		payload["reason"] = nil
	}
	return newEvent(pkgTransfer, "TransferProcess"+what, name, t.ParticipantContextID, payload, t.CallbackAddresses)
}

func lower(s string) string {
	return string(s[0]|0x20) + s[1:]
}

func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func callbacks(in []model.CallbackAddress) []any {
	out := []any{}
	for _, c := range in {
		out = append(out, map[string]any{
			"uri": c.URI, "events": c.Events, "transactional": c.Transactional, "authKey": orNull(c.AuthKey), "authCodeId": orNull(c.AuthCodeID),
		})
	}
	return out
}

func dataAddress(a *model.DataAddress) map[string]any {
	props := map[string]any{model.NS + "type": a.EndpointType, model.NS + "endpoint": a.Endpoint}
	for k, v := range a.Properties {
		props[k] = v
	}
	return map[string]any{"properties": props}
}
