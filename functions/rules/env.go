package rules

import (
	"fmt"
	"reflect"
	"strings"
	"sync"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/ext"

	"github.com/tidegate/tidegate/shared/problem"
)

// The bounds of an expression.
const (
	MaxLength = 4096    // characters of source
	maxCost   = 100_000 // CEL cost units of one evaluation
)

// CounterParty is the variable counterparty.
type CounterParty struct {
	ID      string `cel:"id"      json:"id"`
	Address string `cel:"address" json:"address"`
}

// Asset is the variables asset and dataset.
type Asset struct {
	ID          string         `cel:"id"          json:"id"`
	Name        string         `cel:"name"        json:"name"`
	ContentType string         `cel:"contentType" json:"contentType"`
	Size        int64          `cel:"size"        json:"size"` // bytes; -1 = unknown
	Properties  map[string]any `cel:"properties"  json:"properties"`
}

// Offer is the variable offer: an ODRL offer, its rules as lists.
type Offer struct {
	ID          string `cel:"id"          json:"id"`
	Permission  []any  `cel:"permission"  json:"permission"`
	Prohibition []any  `cel:"prohibition" json:"prohibition"`
	Obligation  []any  `cel:"obligation"  json:"obligation"`
}

// NewOffer makes the variable of a policy as JSON: one rule instead of a list of rules is a list of one, and the names that
// EDC uses inside its events (permissions, prohibitions, obligations) are understood as well.
func NewOffer(id string, policy map[string]any) Offer {
	list := func(names ...string) []any {
		for _, name := range names {
			switch v := policy[name].(type) {
			case []any:
				return v
			case map[string]any:
				return []any{v}
			}
		}
		return []any{}
	}
	return Offer{
		ID:          id,
		Permission:  list("permission", "permissions", "odrl:permission"),
		Prohibition: list("prohibition", "prohibitions", "odrl:prohibition"),
		Obligation:  list("obligation", "obligations", "odrl:obligation"),
	}
}

// Unconstrained tells whether the offer just permits use: it permits something, and there is no constraint, prohibition or
// obligation in it.
func (o Offer) Unconstrained() bool {
	if len(o.Prohibition) > 0 || len(o.Obligation) > 0 {
		return false
	}
	for _, p := range o.Permission {
		m, ok := p.(map[string]any)
		if !ok {
			return false
		}
		for _, name := range []string{"constraint", "constraints", "odrl:constraint", "duty", "duties", "odrl:duty"} {
			switch v := m[name].(type) {
			case nil:
			case []any:
				if len(v) > 0 {
					return false
				}
			default:
				return false
			}
		}
	}
	return true
}

// environments are made once: it takes milliseconds, and a function that has no rule to evaluate must not pay for it.
var (
	claimlessEnv = sync.OnceValues(func() (*cel.Env, error) {
		return newEnv(cel.Variable("counterparty", object[CounterParty]()), cel.Variable("asset", object[Asset]()), cel.Variable("offer", object[Offer]()))
	})
	approveEnv = sync.OnceValues(func() (*cel.Env, error) {
		e, err := claimlessEnv()
		if err != nil {
			return nil, err
		}
		return e.Extend(cel.Variable("claims", cel.MapType(cel.StringType, cel.DynType)))
	})
	filterEnv = sync.OnceValues(func() (*cel.Env, error) { return newEnv(cel.Variable("dataset", object[Asset]())) })
	acceptEnv = sync.OnceValues(func() (*cel.Env, error) {
		return newEnv(cel.Variable("dataset", object[Asset]()), cel.Variable("offer", object[Offer]()))
	})
)

func object[T any]() *cel.Type {
	return cel.ObjectType(strings.TrimPrefix(reflect.TypeFor[T]().String(), "*"))
}

func newEnv(variables ...cel.EnvOption) (*cel.Env, error) {
	return cel.NewEnv(append([]cel.EnvOption{
		ext.NativeTypes(reflect.TypeFor[CounterParty](), reflect.TypeFor[Asset](), reflect.TypeFor[Offer](), ext.ParseStructTags(true)),
		ext.Strings(), ext.Sets(), ext.Lists(),
		cel.Variable("now", cel.TimestampType),
	}, variables...)...)
}

// compile checks an expression; the error is a problem.Field about field.
func compile(env func() (*cel.Env, error), field, expression string) (cel.Program, error) {
	if len(expression) > MaxLength {
		return nil, problem.Field(field, "is %d characters long; at most %d are expected", len(expression), MaxLength)
	}
	e, err := env()
	if err != nil {
		return nil, fmt.Errorf("CEL environment: %w", err)
	}
	ast, issues := e.Compile(expression)
	if issues.Err() != nil {
		return nil, problem.Field(field, "%s", oneLine(issues))
	}
	if !ast.OutputType().IsExactType(cel.BoolType) {
		return nil, problem.Field(field, "is of type %s; bool is expected", ast.OutputType())
	}
	program, err := e.Program(ast, cel.CostLimit(maxCost))
	if err != nil {
		return nil, problem.Field(field, "%v", err)
	}
	return program, nil
}

// oneLine says what CEL found first, with its column, in one line.
func oneLine(issues *cel.Issues) string {
	errs := issues.Errors()
	if len(errs) == 0 {
		return issues.Err().Error()
	}
	first := errs[0]
	text := strings.ReplaceAll(first.Message, "\n", " ")
	text = strings.ReplaceAll(text, " (in container '')", "")
	s := fmt.Sprintf("%s (character %d)", text, first.Location.Column()+1)
	if strings.Contains(text, "undeclared reference") {
		s += "; the variables and functions that exist are in the package's documentation"
	}
	return s
}

// evaluate runs a program to true or false; an error means that it can't be decided.
func evaluate(p cel.Program, variables map[string]any, now time.Time) (bool, error) {
	variables["now"] = now
	out, _, err := p.Eval(variables)
	if err != nil {
		return false, fmt.Errorf("evaluating: %w", err)
	}
	b, ok := out.Value().(bool)
	if !ok {
		return false, fmt.Errorf("evaluating: the result is %v, not true or false", out.Value())
	}
	return b, nil
}
