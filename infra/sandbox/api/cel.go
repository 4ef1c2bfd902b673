package api

import (
	"net/http"

	"github.com/tidegate/tidegate/infra/sandbox/engine"
	"github.com/tidegate/tidegate/infra/sandbox/model"
	"github.com/tidegate/tidegate/infra/sandbox/query"
	"github.com/tidegate/tidegate/infra/sandbox/store"
)

func (c *call) parseCEL() (*model.CELExpression, error) {
	d, err := c.read("CelExpression", "leftOperand", "expression", "description")
	if err != nil {
		return nil, err
	}
	n := &need{d: d}
	x := &model.CELExpression{
		ID: n.text("@id"), LeftOperand: n.text("leftOperand"), Expression: n.text("expression"), Scopes: n.texts("scopes"),
		Description: n.text("description"), CreatedAt: now(),
	}
	if len(x.Scopes) == 0 {
		x.Scopes = []string{"*."}
	}
	if err := n.err(); err != nil {
		return nil, err
	}
	if err := c.Engine.Policies.Compile(x.Expression); err != nil {
		return nil, engine.Invalid("Failed to compile CEL expression '%s': %v", x.Expression, err)
	}
	return x, nil
}

func createCEL(c *call) (int, any, error) {
	x, err := c.parseCEL()
	if err != nil {
		return 0, nil, err
	}
	x.ID = orNew(x.ID)
	err = c.Engine.Store.Update(func(tx *store.Tx) error {
		if c.Engine.Store.CELExpressions.Get(tx, x.ID) != nil {
			return engine.Conflict("CelExpression with ID %s already exists", x.ID)
		}
		return c.Engine.Store.CELExpressions.Put(tx, x.ID, x)
	})
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, idResponse(x.ID, x.CreatedAt), nil
}

func updateCEL(c *call) (int, any, error) {
	x, err := c.parseCEL()
	if err != nil {
		return 0, nil, err
	}
	x.ID = c.r.PathValue("id")
	err = c.Engine.Store.Update(func(tx *store.Tx) error {
		old := c.Engine.Store.CELExpressions.Get(tx, x.ID)
		if old == nil {
			return engine.NotFound("CelExpression", x.ID)
		}
		x.CreatedAt = old.CreatedAt
		return c.Engine.Store.CELExpressions.Put(tx, x.ID, x)
	})
	if err != nil {
		return 0, nil, err
	}
	return http.StatusNoContent, nil, nil
}

func queryCEL(c *call) (int, any, error) {
	q, err := c.querySpec()
	if err != nil {
		return 0, nil, err
	}
	var all []*model.CELExpression
	c.Engine.Store.View(func(tx *store.Tx) {
		for _, x := range c.Engine.Store.CELExpressions.All(tx) {
			all = append(all, x)
		}
	})
	out := []any{}
	for _, x := range query.Apply(q, all, query.CEL) {
		out = append(out, renderCEL(x))
	}
	return http.StatusOK, out, nil
}

func getCEL(c *call) (int, any, error) {
	id := c.r.PathValue("id")
	var x *model.CELExpression
	c.Engine.Store.View(func(tx *store.Tx) { x = c.Engine.Store.CELExpressions.Get(tx, id) })
	if x == nil {
		return 0, nil, engine.NotFound("CelExpression", id)
	}
	return http.StatusOK, renderCEL(x), nil
}

func deleteCEL(c *call) (int, any, error) {
	id := c.r.PathValue("id")
	err := c.Engine.Store.Update(func(tx *store.Tx) error {
		if c.Engine.Store.CELExpressions.Get(tx, id) == nil {
			return engine.NotFound("CelExpression", id)
		}
		return c.Engine.Store.CELExpressions.Delete(tx, id)
	})
	if err != nil {
		return 0, nil, err
	}
	return http.StatusNoContent, nil, nil
}

func renderCEL(x *model.CELExpression) map[string]any {
	return withContext(map[string]any{
		"@id": x.ID, "@type": "CelExpression", "leftOperand": x.LeftOperand, "expression": x.Expression, "scopes": x.Scopes, "description": x.Description,
	})
}
