package management

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
)

// The answer to a catalog request is the counterparty's document, passed through: DCAT and ODRL in JSON-LD, compacted by
// whatever context the counterparty uses. It is read by the last part of the names, so that "dataset", "dcat:dataset" and
// "http://www.w3.org/ns/dcat#dataset" are the same, and a list may be a single object or be missing.

// catalogDocument is a DSP Catalog.
type catalogDocument struct {
	datasets []*Dataset
	count    int // entries, with nested catalogs and those that could not be read
}

// UnmarshalJSON reads a catalog.
func (c *catalogDocument) UnmarshalJSON(data []byte) error {
	n, err := decodeNode(data)
	if err != nil {
		return err
	}
	*c = catalogDocument{}
	c.count = len(listOf(n.member("dataset"))) + len(listOf(n.member("catalog")))
	for _, e := range n.nodes("dataset") {
		if d := e.dataset(); d != nil {
			c.datasets = append(c.datasets, d)
		}
	}
	return nil
}

// datasetDocument is a DSP Dataset that is a document of its own.
type datasetDocument struct{ dataset *Dataset }

// UnmarshalJSON reads a dataset.
func (d *datasetDocument) UnmarshalJSON(data []byte) error {
	n, err := decodeNode(data)
	if err == nil {
		d.dataset = n.dataset()
	}
	return err
}

// node is a JSON-LD object; its members are found by bare name.
type node map[string]any

func decodeNode(data []byte) (node, error) {
	var v any
	if err := json.Unmarshal(data, &v); err != nil {
		return nil, err
	}
	if list := listOf(v); len(list) == 1 { // expanded documents are lists of one
		v = list[0]
	}
	n, ok := v.(map[string]any)
	if !ok {
		return nil, errors.New("expected is a JSON object")
	}
	return n, nil
}

// dataset reads a dataset; nil if it has no id, or is a catalog in the catalog.
func (n node) dataset() *Dataset {
	id := n.id()
	if id == "" || slices.Contains(n.types(), "Catalog") {
		return nil
	}
	d := &Dataset{ID: id, Properties: map[string]any{}}
	for _, o := range n.nodes("hasPolicy") {
		if offer := o.offer(id); offer != nil {
			d.Offers = append(d.Offers, *offer)
		}
	}
	for _, e := range n.nodes("distribution") {
		d.Distributions = append(d.Distributions, e.distribution())
	}
	for _, name := range sortedKeys(n) {
		switch bare := bareName(name); {
		case strings.HasPrefix(name, "@"), bare == "hasPolicy", bare == "distribution":
		default:
			setBare(d.Properties, name, n[name])
		}
	}
	return d
}

// offer reads an offer; nil if it has no id, since nothing can refer to it then.
func (n node) offer(datasetID string) *Offer {
	id := n.id()
	if id == "" {
		return nil
	}
	o := &Offer{ID: id, DatasetID: datasetID, Policy: map[string]any{}}
	for _, list := range ruleLists() {
		if rules := listOf(n.member(list)); len(rules) > 0 {
			o.Policy[list] = rules
		}
	}
	return o
}

func (n node) distribution() Distribution {
	d := Distribution{Format: text(n.member("format"))}
	for _, s := range n.nodes("accessService") {
		if d.EndpointURL == "" {
			d.EndpointURL = text(s.member("endpointURL"))
		}
	}
	return d
}

// member returns the value of a member by its bare name; the name itself wins over prefixed spellings of it.
func (n node) member(bare string) any {
	if v, ok := n[bare]; ok {
		return v
	}
	for _, name := range sortedKeys(n) {
		if bareName(name) == bare {
			return n[name]
		}
	}
	return nil
}

// nodes returns the objects of a member that may be a list, a single one, or missing.
func (n node) nodes(bare string) []node {
	var out []node
	for _, v := range listOf(n.member(bare)) {
		if m, ok := v.(map[string]any); ok {
			out = append(out, m)
		}
	}
	return out
}

func (n node) id() string { return text(n.member("@id")) }

func (n node) types() []string {
	var out []string
	for _, v := range listOf(n.member("@type")) {
		if s, ok := v.(string); ok {
			out = append(out, bareName(s))
		}
	}
	return out
}
