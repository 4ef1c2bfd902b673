package api

import (
	"fmt"
	"net/http"

	"github.com/tidegate/tidegate/infra/sandbox/engine"
	"github.com/tidegate/tidegate/infra/sandbox/model"
	"github.com/tidegate/tidegate/infra/sandbox/query"
	"github.com/tidegate/tidegate/infra/sandbox/store"
)

func startNegotiation(c *call) (int, any, error) {
	d, err := c.read("ContractRequest", "counterPartyAddress", "policy")
	if err != nil {
		return 0, nil, err
	}
	n := &need{d: d}
	raw := n.object("policy")
	r := engine.ContractRequest{
		ID: n.text("@id"), Profile: profileOf(n), CounterPartyAddress: n.text("counterPartyAddress"), CallbackAddresses: parseCallbacks(n),
	}
	in := &need{d: raw}
	for _, k := range []string{"@id", "assigner", "target"} {
		if _, ok := raw[k]; !ok {
			n.out = append(n.out, violation{"required property '" + k + "' not found", "/policy"})
		}
	}
	if raw["@type"] != "Offer" {
		n.out = append(n.out, violation{"must be the constant value 'Offer'", "/policy/@type"})
	}
	r.ProviderID = in.text("assigner")
	r.Offer = model.Offer{ID: in.text("@id"), AssetID: in.text("target")}
	n.out = append(n.out, in.out...)
	if err := n.err(); err != nil {
		return 0, nil, err
	}
	if r.Offer.Policy, err = parseRules(raw); err != nil {
		return 0, nil, err
	}
	if err := c.own(); err != nil {
		return 0, nil, err
	}
	neg, fault := c.Engine.StartNegotiation(c.pc, r)
	if fault != nil {
		return 0, nil, fault
	}
	return http.StatusOK, idResponse(neg.ID, neg.CreatedAt), nil
}

func parseCallbacks(n *need) []model.CallbackAddress {
	out := []model.CallbackAddress{}
	for i, v := range n.list("callbackAddresses") {
		m, ok := v.(map[string]any)
		at := fmt.Sprintf("/callbackAddresses/%d", i)
		if !ok {
			n.out = append(n.out, violation{jsonType(v) + " found, object expected", at})
			continue
		}
		for _, k := range []string{"uri", "events", "transactional"} {
			if _, ok := m[k]; !ok {
				n.out = append(n.out, violation{"required property '" + k + "' not found", at})
			}
		}
		in := &need{d: m}
		transactional, _ := m["transactional"].(bool)
		out = append(out, model.CallbackAddress{
			URI: in.text("uri"), Events: in.texts("events"), Transactional: transactional, AuthKey: in.text("authKey"), AuthCodeID: in.text("authCodeId"),
		})
		n.out = append(n.out, in.out...)
	}
	return out
}

func queryNegotiations(c *call) (int, any, error) {
	return list(c, c.Engine.Store.Negotiations, query.Negotiation, renderNegotiation)
}

func getNegotiation(c *call) (int, any, error) {
	return get(c, c.Engine.Store.Negotiations, "ContractNegotiation", renderNegotiation)
}

func getNegotiationState(c *call) (int, any, error) {
	return get(c, c.Engine.Store.Negotiations, "ContractNegotiation", func(n *model.Negotiation) map[string]any {
		return withContext(map[string]any{"@type": "NegotiationState", "state": n.State})
	})
}

func getNegotiationAgreement(c *call) (int, any, error) {
	n, err := find(c, c.Engine.Store.Negotiations, "ContractNegotiation")
	if err != nil {
		return 0, nil, err
	}
	var a *model.Agreement
	c.Engine.Store.View(func(tx *store.Tx) { a = c.Engine.Store.Agreements.Get(tx, n.AgreementID) })
	if a == nil {
		return 0, nil, engine.NotFound("ContractAgreement", n.ID)
	}
	return http.StatusOK, renderAgreement(a), nil
}

func terminateNegotiation(c *call) (int, any, error) {
	d, err := c.read("TerminateNegotiation")
	if err != nil {
		return 0, nil, err
	}
	n := &need{d: d}
	reason := n.text("reason")
	if err := n.err(); err != nil {
		return 0, nil, err
	}
	neg, err := find(c, c.Engine.Store.Negotiations, "ContractNegotiation")
	if err != nil {
		return 0, nil, err
	}
	if fault := c.Engine.TerminateNegotiation(c.ctx, c.pc, neg.ID, reason); fault != nil {
		return 0, nil, fault
	}
	return http.StatusNoContent, nil, nil
}

func deleteNegotiation(c *call) (int, any, error) {
	n, err := find(c, c.Engine.Store.Negotiations, "ContractNegotiation")
	if err != nil {
		return 0, nil, err
	}
	st := c.Engine.Store
	err = st.Update(func(tx *store.Tx) error {
		cur := st.Negotiations.Get(tx, n.ID)
		switch {
		case cur == nil:
			return engine.NotFound("ContractNegotiation", n.ID)
		case cur.AgreementID != "":
			return engine.Conflict("Cannot delete negotiation [%s]: ContractAgreement already created.", n.ID)
		case cur.State != model.Terminated:
			return engine.Conflict("Cannot delete negotiation in state: '%s'.", cur.State)
		}
		return st.Negotiations.Delete(tx, n.ID)
	})
	if err != nil {
		return 0, nil, err
	}
	return http.StatusNoContent, nil, nil
}

func renderNegotiation(n *model.Negotiation) map[string]any {
	m := withContext(map[string]any{
		"@id": n.ID, "@type": "ContractNegotiation", "type": n.Type, "protocol": n.Protocol, "profile": n.Protocol, "state": n.State,
		"counterPartyId": n.CounterPartyID, "counterPartyAddress": n.CounterPartyAddress,
		"callbackAddresses": renderCallbacks(n.CallbackAddresses), "createdAt": n.CreatedAt, "assetId": n.Offer.AssetID,
	})
	optional(m, "contractAgreementId", n.AgreementID)
	optional(m, "correlationId", n.CorrelationID)
	optional(m, "errorDetail", n.ErrorDetail)
	return m
}

func renderCallbacks(in []model.CallbackAddress) []any {
	out := []any{}
	for _, c := range in {
		m := map[string]any{"@type": "CallbackAddress", "transactional": c.Transactional, "uri": c.URI, "events": c.Events}
		optional(m, "authKey", c.AuthKey)
		optional(m, "authCodeId", c.AuthCodeID)
		out = append(out, m)
	}
	return out
}

func optional(m map[string]any, key, value string) {
	if value != "" {
		m[key] = value
	}
}

func queryAgreements(c *call) (int, any, error) {
	return list(c, c.Engine.Store.Agreements, query.Agreement, renderAgreement)
}

func getAgreement(c *call) (int, any, error) {
	return get(c, c.Engine.Store.Agreements, "ContractAgreement", renderAgreement)
}

func getAgreementNegotiation(c *call) (int, any, error) {
	a, err := find(c, c.Engine.Store.Agreements, "ContractAgreement")
	if err != nil {
		return 0, nil, err
	}
	var n *model.Negotiation
	c.Engine.Store.View(func(tx *store.Tx) { n = c.Engine.Store.Negotiations.Get(tx, a.NegotiationID) })
	if n == nil {
		return 0, nil, engine.NotFound("ContractNegotiation", a.NegotiationID)
	}
	return http.StatusOK, renderNegotiation(n), nil
}

func renderAgreement(a *model.Agreement) map[string]any {
	pol := allRules(a.Policy)
	pol["@id"], pol["@type"], pol["target"] = a.PolicyID, "Agreement", a.AssetID
	pol["odrl:assignee"], pol["odrl:assigner"] = a.ConsumerID, a.ProviderID
	claims := a.Claims
	if claims == nil {
		claims = map[string]any{}
	}
	return withContext(map[string]any{
		"@id": a.ID, "@type": "ContractAgreement", "assetId": a.AssetID, "agreementId": a.AgreementID, "policy": pol,
		"contractSigningDate": a.SigningDate, "consumerId": a.ConsumerID, "providerId": a.ProviderID, "claims": claims,
	})
}
