package api

import (
	"net/http"

	"github.com/tidegate/tidegate/infra/sandbox/engine"
	"github.com/tidegate/tidegate/infra/sandbox/events"
	"github.com/tidegate/tidegate/infra/sandbox/model"
	"github.com/tidegate/tidegate/infra/sandbox/query"
	"github.com/tidegate/tidegate/infra/sandbox/store"
)

func (c *call) parseDefinition() (*model.ContractDefinition, error) {
	d, err := c.read("ContractDefinition", "accessPolicyId", "contractPolicyId")
	if err != nil {
		return nil, err
	}
	n := &need{d: d}
	cd := &model.ContractDefinition{
		Owned:             model.Owned{ID: n.text("@id"), ParticipantContextID: c.pc, CreatedAt: now()},
		AccessPolicyID:    n.text("accessPolicyId"),
		ContractPolicyID:  n.text("contractPolicyId"),
		PrivateProperties: expand(n.object("privateProperties")),
	}
	if one, ok := d["assetsSelector"].(map[string]any); ok {
		d["assetsSelector"] = []any{one}
	}
	if cd.AssetsSelector, err = parseCriteria(n, "assetsSelector"); err != nil {
		return nil, err
	}
	return cd, n.err()
}

func createDefinition(c *call) (int, any, error) {
	d, err := c.parseDefinition()
	if err != nil {
		return 0, nil, err
	}
	if err := c.own(); err != nil {
		return 0, nil, err
	}
	d.ID = orNew(d.ID)
	err = c.Engine.Store.Update(func(tx *store.Tx) error {
		if c.Engine.Store.ContractDefinitions.Get(tx, d.ID) != nil {
			return engine.Conflict("ContractDefinition with ID %s already exists", d.ID)
		}
		return c.Engine.Store.ContractDefinitions.Put(tx, d.ID, d)
	})
	if err != nil {
		return 0, nil, err
	}
	c.Engine.Events.Tell(events.Definition("Created", d))
	return http.StatusOK, idResponse(d.ID, d.CreatedAt), nil
}

func updateDefinition(c *call) (int, any, error) {
	d, err := c.parseDefinition()
	if err != nil {
		return 0, nil, err
	}
	err = c.Engine.Store.Update(func(tx *store.Tx) error {
		old := c.Engine.Store.ContractDefinitions.Get(tx, d.ID)
		if old == nil || old.ParticipantContextID != c.pc {
			return engine.NotFound("ContractDefinition", d.ID)
		}
		if !c.who.admin && c.who.sub != c.pc {
			return c.who.forbidden()
		}
		d.CreatedAt = old.CreatedAt
		return c.Engine.Store.ContractDefinitions.Put(tx, d.ID, d)
	})
	if err != nil {
		return 0, nil, err
	}
	c.Engine.Events.Tell(events.Definition("Updated", d))
	return http.StatusNoContent, nil, nil
}

func queryDefinitions(c *call) (int, any, error) {
	return list(c, c.Engine.Store.ContractDefinitions, query.Definition, renderDefinition)
}

func getDefinition(c *call) (int, any, error) {
	return get(c, c.Engine.Store.ContractDefinitions, "ContractDefinition", renderDefinition)
}

func deleteDefinition(c *call) (int, any, error) {
	d, err := find(c, c.Engine.Store.ContractDefinitions, "ContractDefinition")
	if err != nil {
		return 0, nil, err
	}
	if err := c.Engine.Store.Update(func(tx *store.Tx) error { return c.Engine.Store.ContractDefinitions.Delete(tx, d.ID) }); err != nil {
		return 0, nil, err
	}
	c.Engine.Events.Tell(events.Definition("Deleted", d))
	return http.StatusNoContent, nil, nil
}

func renderDefinition(d *model.ContractDefinition) map[string]any {
	selector := []any{}
	for _, s := range d.AssetsSelector {
		selector = append(selector, map[string]any{
			"@type": "Criterion", "operandLeft": s.OperandLeft, "operator": s.Operator, "operandRight": s.OperandRight,
		})
	}
	m := withContext(map[string]any{
		"@id": d.ID, "@type": "ContractDefinition", "accessPolicyId": d.AccessPolicyID, "contractPolicyId": d.ContractPolicyID, "assetsSelector": selector,
	})
	if len(d.PrivateProperties) > 0 {
		m["privateProperties"] = compact(d.PrivateProperties)
	}
	return m
}
