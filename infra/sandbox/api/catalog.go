package api

import (
	"net/http"

	"github.com/tidegate/tidegate/infra/sandbox/engine"
	"github.com/tidegate/tidegate/infra/sandbox/query"
)

// profileOf reads protocol or profile: exactly one of them must be there.
func profileOf(n *need) string {
	_, protocol := n.d["protocol"]
	_, profile := n.d["profile"]
	switch {
	case protocol == profile:
		n.out = append(n.out, violation{"must be valid to one and only one schema: exactly one of 'protocol' and 'profile' is expected", ""})
		return ""
	case protocol:
		return n.text("protocol")
	}
	return n.text("profile")
}

func requestCatalog(c *call) (int, any, error) {
	d, err := c.read("CatalogRequest", "counterPartyAddress", "counterPartyId")
	if err != nil {
		return 0, nil, err
	}
	n := &need{d: d}
	profile, address := profileOf(n), n.text("counterPartyAddress")
	spec := n.object("querySpec")
	if err := n.err(); err != nil {
		return 0, nil, err
	}
	q := query.Spec{Limit: defaultLimit}
	if spec != nil {
		if q, err = parseQuery(spec); err != nil {
			return 0, nil, err
		}
	}
	if err := c.own(); err != nil {
		return 0, nil, err
	}
	doc, fault := c.Engine.Catalog(c.pc, profile, address, q)
	return answered(doc, fault)
}

func requestDataset(c *call) (int, any, error) {
	d, err := c.read("DatasetRequest", "@id", "counterPartyAddress", "counterPartyId")
	if err != nil {
		return 0, nil, err
	}
	n := &need{d: d}
	profile, address, id := profileOf(n), n.text("counterPartyAddress"), n.text("@id")
	if err := n.err(); err != nil {
		return 0, nil, err
	}
	if err := c.own(); err != nil {
		return 0, nil, err
	}
	doc, fault := c.Engine.Dataset(c.pc, profile, address, id)
	return answered(doc, fault)
}

// answered keeps a nil *Fault from becoming an error that is not nil.
func answered(doc map[string]any, fault *engine.FaultError) (int, any, error) {
	if fault != nil {
		return 0, nil, fault
	}
	return http.StatusOK, doc, nil
}
