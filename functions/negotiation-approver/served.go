package main

import (
	"context"
	"slices"

	"github.com/tidegate/tidegate/shared/dps"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/tenant"
)

// namespace is that of the properties which EDC spells out.
const namespace = "https://w3id.org/edc/v0.0.1/ns/"

// dataset is the tenant's dataset of an id: as it is registered at the gateway, or, if a function serves it by a transfer profile of its own, as
// its asset says; nil if it is none of the tenant's.
func (h *handler) dataset(ctx context.Context, t *tenant.Tenant, cp assets, id string) (*gatewayapi.Dataset, error) {
	var d gatewayapi.Dataset
	_, err := h.gateway.Get(ctx, t.ParticipantContextID, gatewayapi.KindDataset, id, &d)
	if err == nil {
		return &d, nil
	}
	if !problem.Is(err, problem.NotFound) {
		return nil, err
	}
	if !slices.ContainsFunc(t.Profiles, func(p tenant.Profile) bool { return !dps.IsHTTP(p.Profile) }) {
		return nil, nil
	}
	asset, err := cp.GetAsset(ctx, id)
	if problem.Is(err, problem.NotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if m := asset.DataplaneMetadata; m == nil || !slices.ContainsFunc(m.Profiles, func(p string) bool { return !dps.IsHTTP(p) && t.Hook(p) != "" }) {
		return nil, nil
	}
	text := func(name string) string {
		for _, key := range []string{name, namespace + name} {
			if s, ok := asset.Properties[key].(string); ok {
				return s
			}
		}
		return ""
	}
	return &gatewayapi.Dataset{ID: id, Key: text("name"), ContentType: text("contenttype")}, nil
}
