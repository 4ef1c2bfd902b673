package query

import (
	"strings"

	"github.com/tidegate/tidegate/infra/sandbox/model"
)

// Asset finds a field of an asset: its id, its creation time, a public property by short or full name, or a private one after
// "privateProperties.".
func Asset(a *model.Asset, operand string) (any, bool) {
	if rest, ok := strings.CutPrefix(operand, "privateProperties."); ok {
		return property(a.PrivateProperties, rest)
	}
	operand = strings.TrimPrefix(operand, "properties.")
	if v, ok := owned(a.Owned, operand); ok {
		return v, true
	}
	return property(a.Properties, operand)
}

// Policy finds a field of a policy definition.
func Policy(p *model.PolicyDefinition, operand string) (any, bool) {
	if rest, ok := strings.CutPrefix(operand, "privateProperties."); ok {
		return property(p.PrivateProperties, rest)
	}
	return owned(p.Owned, operand)
}

// Definition finds a field of a contract definition.
func Definition(d *model.ContractDefinition, operand string) (any, bool) {
	if rest, ok := strings.CutPrefix(operand, "privateProperties."); ok {
		return property(d.PrivateProperties, rest)
	}
	switch short(operand) {
	case "accessPolicyId":
		return d.AccessPolicyID, true
	case "contractPolicyId":
		return d.ContractPolicyID, true
	case "assetsSelector.operandLeft":
		return each(d.AssetsSelector, func(c model.Criterion) any { return c.OperandLeft }), true
	case "assetsSelector.operandRight":
		return each(d.AssetsSelector, func(c model.Criterion) any { return c.OperandRight }), true
	}
	return owned(d.Owned, operand)
}

func each(cs []model.Criterion, f func(model.Criterion) any) []any {
	out := []any{}
	for _, c := range cs {
		out = append(out, f(c))
	}
	return out
}

// Negotiation finds a field of a negotiation.
func Negotiation(n *model.Negotiation, operand string) (any, bool) {
	switch short(operand) {
	case "state":
		return state{n.State, model.NegotiationCodes[n.State]}, true
	case "stateTimestamp":
		return n.StateTimestamp, true
	case "type":
		return n.Type, true
	case "protocol", "profile":
		return n.Protocol, true
	case "counterPartyId":
		return n.CounterPartyID, true
	case "counterPartyAddress":
		return n.CounterPartyAddress, true
	case "correlationId":
		return optional(n.CorrelationID)
	case "assetId", "contractOffers.assetId":
		return n.Offer.AssetID, true
	case "contractAgreementId", "contractAgreement.id", "agreementId":
		return optional(n.AgreementID)
	case "errorDetail":
		return optional(n.ErrorDetail)
	case "pending":
		return false, true
	}
	return owned(n.Owned, operand)
}

// Agreement finds a field of an agreement.
func Agreement(a *model.Agreement, operand string) (any, bool) {
	switch short(operand) {
	case "assetId":
		return a.AssetID, true
	case "providerId":
		return a.ProviderID, true
	case "consumerId":
		return a.ConsumerID, true
	case "agreementId":
		return a.AgreementID, true
	case "contractSigningDate":
		return a.SigningDate, true
	}
	return owned(a.Owned, operand)
}

// Transfer finds a field of a transfer process.
func Transfer(t *model.Transfer, operand string) (any, bool) {
	if rest, ok := strings.CutPrefix(operand, "privateProperties."); ok {
		return property(t.PrivateProperties, rest)
	}
	switch short(operand) {
	case "state":
		return state{t.State, model.TransferCodes[t.State]}, true
	case "stateTimestamp":
		return t.StateTimestamp, true
	case "type":
		return t.Type, true
	case "protocol", "profile":
		return t.Protocol, true
	case "counterPartyId":
		return t.CounterPartyID, true
	case "counterPartyAddress":
		return t.CounterPartyAddress, true
	case "correlationId":
		return optional(t.CorrelationID)
	case "assetId":
		return t.AssetID, true
	case "contractId", "contractAgreementId":
		return t.ContractID, true
	case "transferType":
		return t.TransferType, true
	case "errorDetail":
		return optional(t.ErrorDetail)
	}
	return owned(t.Owned, operand)
}

func owned(o model.Owned, operand string) (any, bool) {
	switch short(operand) {
	case "id", "@id":
		return o.ID, true
	case "createdAt":
		return o.CreatedAt, true
	case "participantContextId":
		return o.ParticipantContextID, true
	}
	return nil, false
}

func optional(s string) (any, bool) {
	if s == "" {
		return nil, false
	}
	return s, true
}

// short cuts quotes and EDC's namespace off an operand.
func short(operand string) string {
	operand = strings.Trim(operand, "'")
	operand = strings.TrimPrefix(operand, model.NS)
	return strings.TrimPrefix(operand, "edc:")
}

// property looks a property up: by its full IRI, in quotes or not, or by its short name; what follows the quotes, after a
// dot, leads into a nested object.
func property(props map[string]any, operand string) (any, bool) {
	name, rest := operand, ""
	if strings.HasPrefix(operand, "'") {
		if end := strings.Index(operand[1:], "'"); end >= 0 {
			name, rest = operand[1:1+end], strings.TrimPrefix(operand[end+2:], ".")
		}
	}
	v, ok := props[name]
	if !ok {
		v, ok = props[model.NS+strings.TrimPrefix(name, "edc:")]
	}
	if !ok {
		head, tail, dotted := strings.Cut(name, ".")
		if !dotted || strings.Contains(name, "/") {
			return nil, false
		}
		v, ok = props[model.NS+head]
		if !ok {
			return nil, false
		}
		rest = tail
	}
	for rest != "" {
		m, isMap := v.(map[string]any)
		if !isMap {
			return nil, false
		}
		var head string
		head, rest, _ = strings.Cut(rest, ".")
		head = strings.Trim(head, "'")
		if v, ok = m[head]; !ok {
			if v, ok = m[model.NS+head]; !ok {
				return nil, false
			}
		}
	}
	return v, true
}

// CEL finds a field of a CEL expression.
func CEL(x *model.CELExpression, operand string) (any, bool) {
	switch short(operand) {
	case "id", "@id":
		return x.ID, true
	case "createdAt":
		return x.CreatedAt, true
	case "leftOperand":
		return x.LeftOperand, true
	case "scopes":
		return items(x.Scopes), true
	}
	return nil, false
}
