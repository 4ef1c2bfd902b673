package api

import (
	"net/http"

	"github.com/google/uuid"

	"github.com/tidegate/tidegate/infra/sandbox/engine"
	"github.com/tidegate/tidegate/infra/sandbox/query"
	"github.com/tidegate/tidegate/infra/sandbox/store"
)

// owned is an object of a participant.
type owned interface{ Tenant() string }

// find gets the object that the path names: 404 if the participant of the path has none such, then 403 if the caller is
// another, in this order.
func find[T any](c *call, t *store.Table[T], kind string) (*T, error) {
	id := c.r.PathValue("id")
	var obj *T
	c.Engine.Store.View(func(tx *store.Tx) { obj = t.Get(tx, id) })
	if obj == nil || any(obj).(owned).Tenant() != c.pc {
		return nil, engine.NotFound(kind, id)
	}
	if !c.who.admin && c.who.sub != c.pc {
		return nil, c.who.forbidden()
	}
	return obj, nil
}

// list answers a query over the objects of the participant of the path.
func list[T any](c *call, t *store.Table[T], f query.Field[T], render func(*T) map[string]any) (int, any, error) {
	q, err := c.querySpec()
	if err != nil {
		return 0, nil, err
	}
	if err := c.own(); err != nil {
		return 0, nil, err
	}
	out := []any{}
	c.Engine.Store.View(func(tx *store.Tx) {
		var mine []*T
		for _, o := range t.All(tx) {
			if any(o).(owned).Tenant() == c.pc {
				mine = append(mine, o)
			}
		}
		for _, o := range query.Apply(q, mine, f) {
			out = append(out, render(o))
		}
	})
	return http.StatusOK, out, nil
}

// get answers one object.
func get[T any](c *call, t *store.Table[T], kind string, render func(*T) map[string]any) (int, any, error) {
	o, err := find(c, t, kind)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, render(o), nil
}

// orNew is the id of a document, or a new one.
func orNew(id string) string {
	if id == "" {
		return uuid.NewString()
	}
	return id
}
