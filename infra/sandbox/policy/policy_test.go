package policy

import (
	"encoding/json"
	"testing"

	"github.com/tidegate/tidegate/infra/sandbox/model"
)

func parse(t *testing.T, s string) model.Policy {
	t.Helper()
	var raw map[string]any
	if err := json.Unmarshal([]byte(s), &raw); err != nil {
		t.Fatal(err)
	}
	p, err := Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestSpellingsOfOnePolicyAreEqual(t *testing.T) {
	a := parse(t, `{"@type":"Set","permission":[{"@type":"Permission","action":"use","constraint":[{"leftOperand":"l","operator":"eq","rightOperand":"r"}]}]}`)
	b := parse(t, `{"@type":"Offer","odrl:permission":{"action":{"@id":"odrl:use"},"constraint":{"leftOperand":{"@id":"l"},"operator":{"@id":"odrl:eq"},"rightOperand":{"@value":"r"}}}}`)
	if !Equal(a, b) {
		t.Errorf("%v\n%v", a, b)
	}
	if c := parse(t, `{"permission":[{"action":"use"}]}`); Equal(a, c) {
		t.Error("a policy without the constraint counts as equal")
	}
}

func TestEvaluate(t *testing.T) {
	e, err := NewEngine()
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]*model.CELExpression{
		"approved": {Expression: "ctx.agent.id == this.rightOperand", Scopes: []string{ScopeNegotiation}},
		"member":   {Expression: "ctx.agent.claims.membership == this.rightOperand", Scopes: []string{ScopeCatalog, ScopeNegotiation}},
	}
	exprs := func(l string) []*model.CELExpression {
		if x := known[l]; x != nil {
			return []*model.CELExpression{x}
		}
		return nil
	}
	agent := Agent{ID: "consumer-id", Claims: map[string]any{"membership": "active"}}
	for name, tc := range map[string]struct{ scope, policy, want string }{
		"an open policy":              {ScopeNegotiation, `{}`, ""},
		"a fulfilled constraint":      {ScopeNegotiation, `{"permission":[{"action":"use","constraint":[{"leftOperand":"approved","operator":"eq","rightOperand":"consumer-id"}]}]}`, ""},
		"a constraint on a claim":     {ScopeCatalog, `{"permission":[{"action":"use","constraint":[{"leftOperand":"member","operator":"eq","rightOperand":"active"}]}]}`, ""},
		"a failed constraint":         {ScopeNegotiation, `{"permission":[{"action":"use","constraint":[{"leftOperand":"approved","operator":"eq","rightOperand":"nobody"}]}]}`, "Policy in scope contract.negotiation not fulfilled: [Permission constraints: [Constraint 'approved' EQ 'nobody']]"},
		"an operand of another scope": {ScopeCatalog, `{"permission":[{"action":"use","constraint":[{"leftOperand":"approved","operator":"eq","rightOperand":"nobody"}]}]}`, ""},
		"an unknown operand":          {ScopeCatalog, `{"permission":[{"action":"use","constraint":[{"leftOperand":"x","operator":"eq","rightOperand":"y"}]}]}`, "Policy in scope catalog not fulfilled: [Permission constraints: [Constraint 'x' EQ 'y']]"},
		"one of two":                  {ScopeNegotiation, `{"permission":[{"action":"use","constraint":[{"or":[{"leftOperand":"x","operator":"eq","rightOperand":"y"},{"leftOperand":"approved","operator":"eq","rightOperand":"consumer-id"}]}]}]}`, ""},
		"a prohibition that applies":  {ScopeNegotiation, `{"prohibition":[{"action":"use","constraint":[{"leftOperand":"approved","operator":"eq","rightOperand":"consumer-id"}]}]}`, "Policy in scope contract.negotiation not fulfilled: [Prohibition constraints: [Constraint 'approved' EQ 'consumer-id']]"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := e.Evaluate(tc.scope, parse(t, tc.policy), agent, exprs); got != tc.want {
				t.Errorf("got  %q\nwant %q", got, tc.want)
			}
		})
	}
	if err := e.Compile("ctx.agent.id =="); err == nil {
		t.Error("a broken expression compiles")
	}
	if err := e.Compile("'text'"); err == nil {
		t.Error("an expression that yields text compiles")
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"permission":[{"action":"use","constraint":[{"and":{"@list":[{"leftOperand":"a","operator":"eq","rightOperand":1}]}}]}]}`))
	f.Add([]byte(`{"permission":{"action":[{"@id":"use"}]}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var raw map[string]any
		if json.Unmarshal(b, &raw) != nil {
			return
		}
		p, err := Parse(raw)
		if err != nil {
			return
		}
		if !Equal(p, p) {
			t.Errorf("%v is not equal to itself", p)
		}
	})
}
