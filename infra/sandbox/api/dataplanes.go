package api

import (
	"net/http"

	"github.com/google/uuid"

	"github.com/tidegate/tidegate/infra/sandbox/engine"
	"github.com/tidegate/tidegate/infra/sandbox/model"
	"github.com/tidegate/tidegate/infra/sandbox/store"
)

// putDataPlane registers a data plane: plain JSON, unknown members ignored, the DPS spelling "profiles" among them. The id is
// global: whoever registers it last has it.
func putDataPlane(c *call) (int, any, error) {
	d, err := c.readAny()
	if err != nil {
		return 0, nil, err
	}
	if d == nil {
		return 0, nil, engine.Invalid("Request body is missing")
	}
	if err := c.own(); err != nil {
		return 0, nil, err
	}
	n := &need{d: d}
	p := &model.DataPlane{
		Owned:    model.Owned{ID: n.text("dataplaneId"), ParticipantContextID: c.pc, CreatedAt: now()},
		Endpoint: n.text("endpoint"), TransferTypes: n.texts("transferTypes"), Labels: n.texts("labels"), Authorization: n.object("authorization"),
	}
	if len(n.out) > 0 {
		return 0, nil, engine.Invalid("%v", n.out)
	}
	if p.Endpoint == "" {
		return 0, nil, engine.Invalid("endpoint is missing")
	}
	if p.ID == "" {
		p.ID = uuid.NewString()
	}
	if err := c.Engine.Store.Update(func(tx *store.Tx) error { return c.Engine.Store.DataPlanes.Put(tx, p.ID, p) }); err != nil {
		return 0, nil, err
	}
	c.Engine.Introduce(p)
	return http.StatusOK, nil, nil
}

func deleteDataPlane(c *call) (int, any, error) {
	p, err := find(c, c.Engine.Store.DataPlanes, "DataPlaneInstance")
	if err != nil {
		return 0, nil, err
	}
	if err := c.Engine.Store.Update(func(tx *store.Tx) error { return c.Engine.Store.DataPlanes.Delete(tx, p.ID) }); err != nil {
		return 0, nil, err
	}
	c.Engine.Part(p)
	return http.StatusOK, nil, nil
}
