package management

import (
	"context"
	"encoding/json"
	"iter"
)

const assets = "assets"

// assetBody is an Asset on the wire.
type assetBody struct {
	Context           []string       `json:"@context"`
	Type              string         `json:"@type"`
	ID                string         `json:"@id"`
	Properties        map[string]any `json:"properties"`
	PrivateProperties map[string]any `json:"privateProperties,omitempty"`
	DataplaneMetadata *metadataBody  `json:"dataplaneMetadata,omitempty"`
}

type metadataBody struct {
	Type string `json:"@type"`
	*DataplaneMetadata
}

func (a *Asset) body() assetBody {
	b := assetBody{Context: jsonLD, Type: "Asset", ID: a.ID, Properties: a.Properties, PrivateProperties: a.PrivateProperties}
	if b.Properties == nil {
		b.Properties = map[string]any{} // required by the schema
	}
	if a.DataplaneMetadata != nil {
		b.DataplaneMetadata = &metadataBody{"DataplaneMetadata", a.DataplaneMetadata}
	}
	return b
}

// UnmarshalJSON reads an asset as the control plane answers it. Property names lose the EDC namespace, and the property
// "id", which the control plane adds, is dropped: what was written is what is read.
func (a *Asset) UnmarshalJSON(data []byte) error {
	type plain Asset
	var p plain
	if err := json.Unmarshal(data, &p); err != nil {
		return err
	}
	p.Properties, p.PrivateProperties = bareProperties(p.Properties), bareProperties(p.PrivateProperties)
	if p.Properties["id"] == p.ID {
		delete(p.Properties, "id")
	}
	*a = Asset(p)
	return nil
}

// CreateAsset creates an asset; Conflict if its id exists.
func (c *Client) CreateAsset(ctx context.Context, a *Asset) error {
	return c.create(ctx, at(assets), a.body(), readBack(
		func() (*Asset, error) { return c.GetAsset(ctx, a.ID) },
		func(got *Asset) bool { return got.ID == a.ID }))
}

// UpdateAsset replaces an asset; NotFound if there is none.
func (c *Client) UpdateAsset(ctx context.Context, a *Asset) error {
	return c.update(ctx, at(assets), a.body())
}

// GetAsset reads an asset; NotFound if there is none.
func (c *Client) GetAsset(ctx context.Context, id string) (*Asset, error) {
	return get[Asset](ctx, c, at(assets, id))
}

// DeleteAsset deletes an asset, if it is there; Conflict if an agreement or a running negotiation refers to it.
func (c *Client) DeleteAsset(ctx context.Context, id string) error {
	return c.remove(ctx, at(assets, id))
}

// QueryAssets pages through assets.
func (c *Client) QueryAssets(ctx context.Context, q Query) iter.Seq2[*Asset, error] {
	return query(ctx, c, assets, q, func(a *Asset) string { return a.ID })
}
