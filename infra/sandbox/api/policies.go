package api

import (
	"net/http"

	"github.com/google/uuid"

	"github.com/tidegate/tidegate/infra/sandbox/engine"
	"github.com/tidegate/tidegate/infra/sandbox/events"
	"github.com/tidegate/tidegate/infra/sandbox/model"
	"github.com/tidegate/tidegate/infra/sandbox/policy"
	"github.com/tidegate/tidegate/infra/sandbox/query"
	"github.com/tidegate/tidegate/infra/sandbox/store"
)

func (c *call) parsePolicy() (*model.PolicyDefinition, error) {
	d, err := c.read("PolicyDefinition", "policy")
	if err != nil {
		return nil, err
	}
	n := &need{d: d}
	raw := n.object("policy")
	p := &model.PolicyDefinition{
		Owned:             model.Owned{ID: n.text("@id"), ParticipantContextID: c.pc, CreatedAt: now()},
		PrivateProperties: expand(n.object("privateProperties")),
	}
	if err := n.err(); err != nil {
		return nil, err
	}
	if raw["@type"] != "Set" {
		return nil, validation{{"must be the constant value 'Set'", "/policy/@type"}}
	}
	p.Policy, err = parseRules(raw)
	return p, err
}

// parseRules reads the rules of a policy; a list of rules that is there must not be empty.
func parseRules(raw map[string]any) (model.Policy, error) {
	for _, k := range []string{"permission", "prohibition", "obligation"} {
		if l, ok := raw[k].([]any); ok && len(l) == 0 {
			return model.Policy{}, validation{{"must have at least 1 items but found 0", "/policy/" + k}}
		}
	}
	p, err := policy.Parse(raw)
	if err != nil {
		return p, validation{{err.Error(), "/policy"}}
	}
	return p, nil
}

func createPolicy(c *call) (int, any, error) {
	p, err := c.parsePolicy()
	if err != nil {
		return 0, nil, err
	}
	if err := c.own(); err != nil {
		return 0, nil, err
	}
	p.ID = orNew(p.ID)
	err = c.Engine.Store.Update(func(tx *store.Tx) error {
		if c.Engine.Store.Policies.Get(tx, p.ID) != nil {
			return engine.Conflict("Policy with ID %s already exists", p.ID)
		}
		return c.Engine.Store.Policies.Put(tx, p.ID, p)
	})
	if err != nil {
		return 0, nil, err
	}
	c.Engine.Events.Tell(events.Policy("Created", p))
	return http.StatusOK, idResponse(p.ID, p.CreatedAt), nil
}

func updatePolicy(c *call) (int, any, error) {
	p, err := c.parsePolicy()
	if err != nil {
		return 0, nil, err
	}
	old, err := find(c, c.Engine.Store.Policies, "PolicyDefinition")
	if err != nil {
		return 0, nil, err
	}
	p.Owned = old.Owned
	if err := c.Engine.Store.Update(func(tx *store.Tx) error { return c.Engine.Store.Policies.Put(tx, p.ID, p) }); err != nil {
		return 0, nil, err
	}
	c.Engine.Events.Tell(events.Policy("Updated", p))
	return http.StatusNoContent, nil, nil
}

func queryPolicies(c *call) (int, any, error) {
	return list(c, c.Engine.Store.Policies, query.Policy, renderPolicy)
}

func getPolicy(c *call) (int, any, error) {
	return get(c, c.Engine.Store.Policies, "PolicyDefinition", renderPolicy)
}

func deletePolicy(c *call) (int, any, error) {
	p, err := find(c, c.Engine.Store.Policies, "PolicyDefinition")
	if err != nil {
		return 0, nil, err
	}
	st := c.Engine.Store
	err = st.Update(func(tx *store.Tx) error {
		for _, d := range st.ContractDefinitions.All(tx) {
			if d.AccessPolicyID == p.ID || d.ContractPolicyID == p.ID {
				return engine.Conflict("PolicyDefinition with ID '%s' cannot be deleted, because it is referenced by one or more ContractDefinitions (e.g. ContractDefinition with ID: %s)", p.ID, d.ID)
			}
		}
		return st.Policies.Delete(tx, p.ID)
	})
	if err != nil {
		return 0, nil, err
	}
	c.Engine.Events.Tell(events.Policy("Deleted", p))
	return http.StatusNoContent, nil, nil
}

func renderPolicy(p *model.PolicyDefinition) map[string]any {
	pol := allRules(p.Policy)
	pol["@id"] = uuid.NewSHA1(uuid.NameSpaceOID, []byte(p.ID)).String()
	pol["@type"] = "Set"
	m := withContext(map[string]any{"@id": p.ID, "@type": "PolicyDefinition", "createdAt": p.CreatedAt, "policy": pol})
	if len(p.PrivateProperties) > 0 {
		m["privateProperties"] = compact(p.PrivateProperties)
	}
	return m
}

// allRules shows all three lists, empty ones too, as the Management API does.
func allRules(p model.Policy) map[string]any {
	orEmpty := func(l []map[string]any) []map[string]any {
		if l == nil {
			return []map[string]any{}
		}
		return l
	}
	return map[string]any{"permission": orEmpty(p.Permission), "prohibition": orEmpty(p.Prohibition), "obligation": orEmpty(p.Obligation)}
}
