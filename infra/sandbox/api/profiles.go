package api

import (
	"net/http"

	"github.com/tidegate/tidegate/infra/sandbox/engine"
	"github.com/tidegate/tidegate/infra/sandbox/model"
)

func getProfiles(c *call) (int, any, error) {
	if err := c.own(); err != nil {
		return 0, nil, err
	}
	p, err := c.participant()
	if err != nil {
		return 0, nil, err
	}
	out := []any{}
	for _, name := range p.Profiles {
		out = append(out, withContext(map[string]any{
			"@type": "DataspaceProfile", "name": name,
			"protocol": map[string]any{
				"version": "2025-1", "path": "/" + name, "binding": "HTTPS", "namespace": "https://w3id.org/dspace/2025/1/",
			},
			"jsonLdContextsUrl": []string{"https://w3id.org/dspace/2025/1/context.jsonld", "https://w3id.org/edc/dspace/v0.0.1"},
		}))
	}
	return http.StatusOK, out, nil
}

func putProfiles(c *call) (int, any, error) {
	d, err := c.read("AssociateDataspaceProfile", "profiles")
	if err != nil {
		return 0, nil, err
	}
	n := &need{d: d}
	names := n.texts("profiles")
	if err := n.err(); err != nil {
		return 0, nil, err
	}
	for _, name := range names {
		if name != model.Profile {
			return 0, nil, engine.NotFound("DataspaceProfile", name)
		}
	}
	return c.changeParticipant(func(p *model.Participant) { p.Profiles = names })
}

// discover has no resolver to ask, as in the runtime that was observed.
func discover(c *call) (int, any, error) {
	d, err := c.read("DiscoveryRequest")
	if err != nil {
		return 0, nil, err
	}
	n := &need{d: d}
	orNull := func(s string) string {
		if s == "" {
			return "null"
		}
		return s
	}
	id, address := orNull(n.text("counterPartyId")), orNull(n.text("counterPartyAddress"))
	if err := n.err(); err != nil {
		return 0, nil, err
	}
	if err := c.own(); err != nil {
		return 0, nil, err
	}
	return 0, nil, engine.Invalid("No resolver found for request: DiscoveryRequest[counterPartyId=%s, counterPartyAddress=%s]", id, address)
}
