package tenant

import (
	"fmt"

	"github.com/tidegate/tidegate/shared/dps"
)

func (c checker) approve(a Approve) {
	c.oneOf("approve.mode", a.Mode, ModeVeto, ModeWatch)
	c.oneOf("approve.default", a.Default, Approved, Rejected, Review)
	seen := map[string]int{}
	for i, r := range a.Rules {
		at := fmt.Sprintf("approve.rules[%d].", i)
		c.name(at+"name", r.Name, seen)
		c.required(at+"when", r.When)
		c.length(at+"when", r.When, maxRule)
		c.required(at+"then", r.Then)
		c.oneOf(at+"then", r.Then, Approved, Rejected, Review)
		c.length(at+"reason", r.Reason, maxText)
	}
}

func (c checker) subscriptions(t *Tenant) {
	seen := map[string]int{}
	for i, s := range t.Subscribe {
		at := fmt.Sprintf("subscribe[%d].", i)
		c.name(at+"name", s.Name, seen)
		if c.required(at+"counterParty.id", s.CounterParty.ID) {
			c.word(at+"counterParty.id", s.CounterParty.ID)
		}
		c.required(at+"counterParty.address", s.CounterParty.Address)
		c.url(at+"counterParty.address", s.CounterParty.Address)
		c.length(at+"filter", s.Filter, maxRule)
		c.length(at+"accept", s.Accept, maxRule)
		c.way(at, t, s)
		if s.Every < 0 {
			c.add(at+"every", "%s is negative", s.Every)
		}
	}
}

// way checks how the data comes and where it goes: over HTTP to a sink, or by a profile to the function that serves it.
func (c checker) way(at string, t *Tenant, s Subscription) {
	c.oneOf(at+"direction", s.Direction, DirectionPull, DirectionPush)
	if s.Profile != "" {
		c.absent(at+"direction", s.Direction, "beside a profile, whose name tells it")
		c.word(at+"profile", s.Profile)
		if !dps.IsHTTP(s.Profile) {
			c.absent(at+"sink", s.Sink, "with a profile that a function serves, which knows by itself where the data goes")
			if t.Hook(s.Profile) == "" && !c.at["profiles"] {
				c.add(at+"profile", "%s is not the profile of an entry of profiles, so no function serves it", quote(s.Profile))
			}
			return
		}
	}
	_, found := t.Sink(s.Sink)
	c.ref(at+"sink", s.Sink, "sinks", found)
}
