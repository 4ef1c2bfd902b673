package api

import (
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/tidegate/tidegate/infra/sandbox/engine"
	"github.com/tidegate/tidegate/infra/sandbox/events"
	"github.com/tidegate/tidegate/infra/sandbox/model"
	"github.com/tidegate/tidegate/infra/sandbox/query"
	"github.com/tidegate/tidegate/infra/sandbox/store"
)

func now() int64 { return time.Now().UnixMilli() }

// parseAsset reads an Asset.
func (c *call) parseAsset() (*model.Asset, error) {
	d, err := c.read("Asset", "properties")
	if err != nil {
		return nil, err
	}
	n := &need{d: d}
	a := &model.Asset{
		Owned:             model.Owned{ID: n.text("@id"), ParticipantContextID: c.pc, CreatedAt: now()},
		Properties:        expand(n.object("properties")),
		PrivateProperties: expand(n.object("privateProperties")),
		DataplaneMetadata: parseMetadata(n),
	}
	for _, k := range slices.Sorted(maps.Keys(a.Properties)) {
		if _, both := a.PrivateProperties[k]; both {
			n.out = append(n.out, violation{"property '" + compactKey(k) + "' is in properties and in privateProperties", "/properties"})
		}
	}
	return a, n.err()
}

func parseMetadata(n *need) *model.DataplaneMetadata {
	m := n.object("dataplaneMetadata")
	if m == nil {
		return nil
	}
	in := &need{d: m}
	md := &model.DataplaneMetadata{Labels: in.texts("labels"), Profiles: in.texts("profiles"), Properties: in.object("properties")}
	n.out = append(n.out, in.out...)
	return md
}

func createAsset(c *call) (int, any, error) {
	a, err := c.parseAsset()
	if err != nil {
		return 0, nil, err
	}
	if err := c.own(); err != nil {
		return 0, nil, err
	}
	a.ID = orNew(a.ID)
	a.Properties[model.NS+"id"] = a.ID
	err = c.Engine.Store.Update(func(tx *store.Tx) error {
		if c.Engine.Store.Assets.Get(tx, a.ID) != nil {
			return engine.Conflict("Asset with ID %s already exists", a.ID)
		}
		return c.Engine.Store.Assets.Put(tx, a.ID, a)
	})
	if err != nil {
		return 0, nil, err
	}
	c.Engine.Events.Tell(events.Asset("Created", a))
	return http.StatusOK, idResponse(a.ID, a.CreatedAt), nil
}

func updateAsset(c *call) (int, any, error) {
	a, err := c.parseAsset()
	if err != nil {
		return 0, nil, err
	}
	a.Properties[model.NS+"id"] = a.ID
	err = c.Engine.Store.Update(func(tx *store.Tx) error {
		old := c.Engine.Store.Assets.Get(tx, a.ID)
		if old == nil || old.ParticipantContextID != c.pc {
			return engine.NotFound("Asset", a.ID)
		}
		if !c.who.admin && c.who.sub != c.pc {
			return c.who.forbidden()
		}
		a.CreatedAt = old.CreatedAt
		return c.Engine.Store.Assets.Put(tx, a.ID, a)
	})
	if err != nil {
		return 0, nil, err
	}
	c.Engine.Events.Tell(events.Asset("Updated", a))
	return http.StatusNoContent, nil, nil
}

func queryAssets(c *call) (int, any, error) {
	return list(c, c.Engine.Store.Assets, query.Asset, renderAsset)
}

func getAsset(c *call) (int, any, error) {
	return get(c, c.Engine.Store.Assets, "Asset", renderAsset)
}

func deleteAsset(c *call) (int, any, error) {
	a, err := find(c, c.Engine.Store.Assets, "Asset")
	if err != nil {
		return 0, nil, err
	}
	st := c.Engine.Store
	err = st.Update(func(tx *store.Tx) error {
		for _, g := range st.Agreements.All(tx) {
			if g.AssetID == a.ID && g.ParticipantContextID == c.pc {
				return engine.Conflict("Asset %s cannot be deleted as it is referenced by at least one contract agreement", a.ID)
			}
		}
		for _, n := range st.Negotiations.All(tx) {
			if n.Offer.AssetID == a.ID && n.ParticipantContextID == c.pc && n.Type == model.Provider && n.State != model.Terminated && !n.Vetoed {
				return engine.Conflict("Asset %s cannot be deleted as it is referenced by at least one contract negotiation", a.ID)
			}
		}
		return st.Assets.Delete(tx, a.ID)
	})
	if err != nil {
		return 0, nil, err
	}
	c.Engine.Events.Tell(events.Asset("Deleted", a))
	return http.StatusNoContent, nil, nil
}

func renderAsset(a *model.Asset) map[string]any {
	m := withContext(map[string]any{"@id": a.ID, "@type": "Asset", "properties": compact(a.Properties)})
	if len(a.PrivateProperties) > 0 {
		m["privateProperties"] = compact(a.PrivateProperties)
	}
	if a.DataplaneMetadata != nil {
		m["dataplaneMetadata"] = renderMetadata(a.DataplaneMetadata)
	}
	return m
}

func renderMetadata(md *model.DataplaneMetadata) map[string]any {
	m := map[string]any{"@type": "DataplaneMetadata"}
	if md == nil {
		return m
	}
	if len(md.Labels) > 0 {
		m["labels"] = md.Labels
	}
	if len(md.Profiles) > 0 {
		m["profiles"] = md.Profiles
	}
	if len(md.Properties) > 0 {
		m["properties"] = md.Properties
	}
	return m
}
