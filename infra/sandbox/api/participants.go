package api

import (
	"fmt"
	"maps"
	"net/http"
	"strconv"

	"github.com/tidegate/tidegate/infra/sandbox/config"
	"github.com/tidegate/tidegate/infra/sandbox/engine"
	"github.com/tidegate/tidegate/infra/sandbox/model"
	"github.com/tidegate/tidegate/infra/sandbox/store"
)

func (c *call) parseParticipant() (*model.Participant, error) {
	d, err := c.read("ParticipantContext", "identity")
	if err != nil {
		return nil, err
	}
	n := &need{d: d}
	p := &model.Participant{
		ID: n.text("@id"), Identity: n.text("identity"), State: n.text("state"), Properties: n.object("properties"), CreatedAt: now(),
		Entries: map[string]string{}, PrivateEntries: map[string]string{}, Profiles: []string{model.Profile}, Dialect: config.DialectHead,
	}
	switch p.State {
	case "":
		p.State = "CREATED"
	case "CREATED", "ACTIVATED", "DEACTIVATED":
	default:
		n.out = append(n.out, violation{`does not have a value in the enumeration ["CREATED", "ACTIVATED", "DEACTIVATED"]`, "/state"})
	}
	if p.Properties == nil {
		p.Properties = map[string]any{}
	}
	return p, n.err()
}

func createParticipant(c *call) (int, any, error) {
	p, err := c.parseParticipant()
	if err != nil {
		return 0, nil, err
	}
	p.ID = orNew(p.ID)
	err = c.Engine.Store.Update(func(tx *store.Tx) error {
		if c.Engine.Store.Participants.Get(tx, p.ID) != nil {
			return engine.Conflict("ParticipantContext with ID %s already exists", p.ID)
		}
		return c.Engine.Store.Participants.Put(tx, p.ID, p)
	})
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, idResponse(p.ID, p.CreatedAt), nil
}

// participant gets the participant context of the path.
func (c *call) participant() (*model.Participant, error) {
	var p *model.Participant
	c.Engine.Store.View(func(tx *store.Tx) { p = c.Engine.Store.Participants.Get(tx, c.pc) })
	if p == nil {
		return nil, engine.NotFound("ParticipantContext", c.pc)
	}
	return p, nil
}

func listParticipants(c *call) (int, any, error) {
	offset, err1 := queryInt(c.r, "offset", 0)
	limit, err2 := queryInt(c.r, "limit", defaultLimit)
	if err1 != nil || err2 != nil {
		return 0, nil, engine.Invalid("offset and limit must be numbers")
	}
	out := []any{}
	c.Engine.Store.View(func(tx *store.Tx) {
		i := 0
		for _, p := range c.Engine.Store.Participants.All(tx) {
			if i++; i > offset && len(out) < limit {
				out = append(out, renderParticipant(p))
			}
		}
	})
	return http.StatusOK, out, nil
}

func queryInt(r *http.Request, name string, def int) (int, error) {
	s := r.URL.Query().Get(name)
	if s == "" {
		return def, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%s is no number", name)
	}
	return n, nil
}

func getParticipant(c *call) (int, any, error) {
	p, err := c.participant()
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, renderParticipant(p), nil
}

func updateParticipant(c *call) (int, any, error) {
	in, err := c.parseParticipant()
	if err != nil {
		return 0, nil, err
	}
	return c.changeParticipant(func(p *model.Participant) { p.Identity, p.State, p.Properties = in.Identity, in.State, in.Properties })
}

// changeParticipant replaces the participant of the path by a changed copy.
func (c *call) changeParticipant(change func(*model.Participant)) (int, any, error) {
	err := c.Engine.Store.Update(func(tx *store.Tx) error {
		old := c.Engine.Store.Participants.Get(tx, c.pc)
		if old == nil {
			return engine.NotFound("ParticipantContext", c.pc)
		}
		p := *old
		change(&p)
		return c.Engine.Store.Participants.Put(tx, p.ID, &p)
	})
	if err != nil {
		return 0, nil, err
	}
	return http.StatusNoContent, nil, nil
}

func deleteParticipant(c *call) (int, any, error) {
	if _, err := c.participant(); err != nil {
		return 0, nil, err
	}
	if err := c.Engine.Store.Update(func(tx *store.Tx) error { return c.Engine.Store.Participants.Delete(tx, c.pc) }); err != nil {
		return 0, nil, err
	}
	return http.StatusNoContent, nil, nil
}

func renderParticipant(p *model.Participant) map[string]any {
	return withContext(map[string]any{
		"@id": p.ID, "@type": "ParticipantContext", "identity": p.Identity, "properties": p.Properties, "state": p.State,
	})
}

func getConfig(c *call) (int, any, error) {
	p, err := c.participant()
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, withContext(map[string]any{
		"@type": "ParticipantContextConfig", "entries": p.Entries, "privateEntries": p.PrivateEntries,
	}), nil
}

func (c *call) parseConfig() (entries, private map[string]string, err error) {
	d, err := c.read("ParticipantContextConfig", "entries")
	if err != nil {
		return nil, nil, err
	}
	n := &need{d: d}
	entries, private = stringMap(n, "entries"), stringMap(n, "privateEntries")
	return entries, private, n.err()
}

func stringMap(n *need, name string) map[string]string {
	out := map[string]string{}
	for k, v := range n.object(name) {
		s, ok := v.(string)
		if !ok {
			n.out = append(n.out, violation{jsonType(v) + " found, string expected", "/" + name + "/" + k})
		}
		out[k] = s
	}
	return out
}

func putConfig(c *call) (int, any, error) {
	entries, private, err := c.parseConfig()
	if err != nil {
		return 0, nil, err
	}
	return c.changeParticipant(func(p *model.Participant) { p.Entries, p.PrivateEntries = entries, private })
}

func patchConfig(c *call) (int, any, error) {
	entries, private, err := c.parseConfig()
	if err != nil {
		return 0, nil, err
	}
	return c.changeParticipant(func(p *model.Participant) {
		p.Entries, p.PrivateEntries = merged(p.Entries, entries), merged(p.PrivateEntries, private)
	})
}

func merged(a, b map[string]string) map[string]string {
	out := maps.Clone(a)
	if out == nil {
		out = map[string]string{}
	}
	maps.Copy(out, b)
	return out
}
