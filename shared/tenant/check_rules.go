package tenant

import "fmt"

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
		_, found := t.Sink(s.Sink)
		c.ref(at+"sink", s.Sink, "sinks", found)
		c.oneOf(at+"direction", s.Direction, DirectionPull, DirectionPush)
		if s.Every < 0 {
			c.add(at+"every", "%s is negative", s.Every)
		}
	}
}
