package management

import (
	"context"
	"iter"
	"net/http"

	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/tenant"
)

// catalogRequest is a CatalogRequest, and with an id a DatasetRequest.
type catalogRequest struct {
	Context             []string   `json:"@context"`
	Type                string     `json:"@type"`
	ID                  string     `json:"@id,omitempty"`
	Profile             string     `json:"profile"`
	CounterPartyAddress string     `json:"counterPartyAddress"`
	CounterPartyID      string     `json:"counterPartyId"`
	QuerySpec           *querySpec `json:"querySpec,omitempty"`
}

func (c *Client) catalogRequest(typ string, cp tenant.CounterParty) catalogRequest {
	return catalogRequest{Context: jsonLD, Type: typ, Profile: c.profile, CounterPartyAddress: cp.Address, CounterPartyID: cp.ID}
}

// Catalog asks the counterparty for its catalog, page by page. It holds what the counterparty offers to us; datasets
// without an id and catalogs inside the catalog are left out. A counterparty that can't be reached, or refuses, is Upstream.
func (c *Client) Catalog(ctx context.Context, cp tenant.CounterParty, q Query) iter.Seq2[*Dataset, error] {
	return paged(c, q, func(s querySpec) (page[Dataset], error) {
		rq := c.catalogRequest("CatalogRequest", cp)
		rq.QuerySpec = &s
		var cat catalogDocument
		_, err := c.do(ctx, call{method: http.MethodPost, path: at("catalog", "request"), body: rq}, &cat)
		return page[Dataset]{cat.datasets, cat.count}, err
	}, func(d *Dataset) string { return d.ID })
}

// Dataset asks the counterparty for one dataset with its offers; NotFound if the answer holds none. The control plane
// does not pass a counterparty's 404 on: that one is Upstream, as every refusal of the counterparty.
func (c *Client) Dataset(ctx context.Context, cp tenant.CounterParty, id string) (*Dataset, error) {
	rq := c.catalogRequest("DatasetRequest", cp)
	rq.ID = id
	var doc datasetDocument
	if _, err := c.do(ctx, call{method: http.MethodPost, path: at("catalog", "dataset", "request"), body: rq}, &doc); err != nil {
		return nil, err
	}
	if doc.dataset == nil || doc.dataset.ID != id {
		return nil, problem.New(problem.NotFound, "the counterparty does not offer dataset %s", id)
	}
	return doc.dataset, nil
}
