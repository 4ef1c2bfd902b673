package policy

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"cel.dev/cel-go/cel"

	"github.com/tidegate/tidegate/infra/sandbox/model"
)

// The scopes in which policies are evaluated.
const (
	ScopeCatalog     = "catalog"
	ScopeNegotiation = "contract.negotiation"
	ScopeTransfer    = "transfer.process"
)

// Agent is the counterparty that a policy is held against.
type Agent struct {
	ID     string
	Claims map[string]any
}

// Engine evaluates policies.
type Engine struct {
	env *cel.Env
	now func() time.Time

	mu       sync.Mutex
	programs map[string]cel.Program // by expression
}

// NewEngine returns an engine. Expressions see ctx (agent: id, claims), this (leftOperand, operator, rightOperand) and now.
func NewEngine() (*Engine, error) {
	env, err := cel.NewEnv(
		cel.Variable("ctx", cel.MapType(cel.StringType, cel.DynType)),
		cel.Variable("this", cel.MapType(cel.StringType, cel.DynType)),
		cel.Variable("now", cel.TimestampType),
	)
	if err != nil {
		return nil, fmt.Errorf("CEL environment: %w", err)
	}
	return &Engine{env: env, now: time.Now, programs: map[string]cel.Program{}}, nil
}

// Compile checks an expression: it must yield a boolean.
func (e *Engine) Compile(expression string) error {
	_, err := e.program(expression)
	return err
}

func (e *Engine) program(expression string) (cel.Program, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if p, ok := e.programs[expression]; ok {
		return p, nil
	}
	ast, iss := e.env.Compile(expression)
	if iss.Err() != nil {
		return nil, iss.Err()
	}
	if t := ast.OutputType(); !t.IsExactType(cel.BoolType) && !t.IsExactType(cel.DynType) {
		return nil, fmt.Errorf("the expression yields %s, not bool", t)
	}
	p, err := e.env.Program(ast, cel.CostLimit(100_000))
	if err != nil {
		return nil, err
	}
	e.programs[expression] = p
	return p, nil
}

// Expressions finds the expressions of a left operand.
type Expressions func(leftOperand string) []*model.CELExpression

// Evaluate holds a policy against an agent. The problem is "" if it is fulfilled, or says what was not, in EDC's words. A
// constraint whose operand has expressions, but none for this scope, does not count in it; one that has none is not fulfilled.
func (e *Engine) Evaluate(scope string, p model.Policy, a Agent, exprs Expressions) (problem string) {
	ev := evaluation{Engine: e, scope: scope, agent: a, exprs: exprs}
	var problems []string
	for _, r := range p.Permission {
		if failed := ev.failed(r); len(failed) > 0 {
			problems = append(problems, "Permission constraints: ["+strings.Join(failed, ", ")+"]")
		}
	}
	for _, r := range p.Obligation {
		if failed := ev.failed(r); len(failed) > 0 {
			problems = append(problems, "Duty constraints: ["+strings.Join(failed, ", ")+"]")
		}
	}
	for _, r := range p.Prohibition {
		if len(ev.failed(r)) == 0 {
			problems = append(problems, "Prohibition constraints: ["+strings.Join(describeAll(r), ", ")+"]")
		}
	}
	if len(problems) == 0 {
		return ""
	}
	return fmt.Sprintf("Policy in scope %s not fulfilled: [%s]", scope, strings.Join(problems, ", "))
}

type evaluation struct {
	*Engine

	scope string
	agent Agent
	exprs Expressions
}

func (e *evaluation) failed(rule map[string]any) []string {
	var out []string
	for _, c := range constraints(rule) {
		if !e.holds(c) {
			out = append(out, describe(c))
		}
	}
	return out
}

func constraints(rule map[string]any) []map[string]any {
	var out []map[string]any
	for _, c := range list(rule["constraint"]) {
		if m, ok := c.(map[string]any); ok {
			out = append(out, m)
		}
	}
	return out
}

func (e *evaluation) holds(c map[string]any) bool {
	for _, op := range logical {
		if inner, ok := c[op]; ok {
			n, all := 0, 0
			for _, i := range list(inner) {
				all++
				if m, ok := i.(map[string]any); ok && e.holds(m) {
					n++
				}
			}
			return op == "and" && n == all || op == "or" && n > 0 || op == "xone" && n == 1
		}
	}
	left, _ := c["leftOperand"].(string)
	known := e.exprs(left)
	if len(known) == 0 {
		return false
	}
	for _, x := range known {
		if slices.ContainsFunc(x.Scopes, func(s string) bool { return s == e.scope || s == "*." || s == "*" }) && !e.true(x.Expression, c) {
			return false
		}
	}
	return true
}

func (e *evaluation) true(expression string, c map[string]any) bool {
	p, err := e.program(expression)
	if err != nil {
		return false
	}
	claims := e.agent.Claims
	if claims == nil {
		claims = map[string]any{}
	}
	out, _, err := p.Eval(map[string]any{
		"ctx":  map[string]any{"agent": map[string]any{"id": e.agent.ID, "claims": claims}},
		"this": c,
		"now":  e.now(),
	})
	if err != nil {
		return false // an expression that cannot be computed fulfils nothing
	}
	b, ok := out.Value().(bool)
	return ok && b
}

func describeAll(rule map[string]any) []string {
	var out []string
	for _, c := range constraints(rule) {
		out = append(out, describe(c))
	}
	return out
}

// describe is the text of EDC's AtomicConstraint.
func describe(c map[string]any) string {
	for _, op := range logical {
		if inner, ok := c[op]; ok {
			var parts []string
			for _, i := range list(inner) {
				if m, ok := i.(map[string]any); ok {
					parts = append(parts, describe(m))
				}
			}
			return fmt.Sprintf("%s [%s]", strings.ToUpper(op), strings.Join(parts, ", "))
		}
	}
	op, _ := c["operator"].(string)
	return fmt.Sprintf("Constraint '%v' %s '%v'", c["leftOperand"], strings.ToUpper(op), c["rightOperand"])
}
