// Package policy reads ODRL policies as the Management API takes them, compares them as a provider compares a requested with
// its own, and evaluates them: each atomic constraint by the CEL expression that is registered for its left operand.
package policy

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/tidegate/tidegate/infra/sandbox/model"
)

// Parse normalises a policy: rules and constraints become lists, actions and operands plain values, types and ids of rules
// are dropped. Prefixes odrl: are cut.
func Parse(raw map[string]any) (model.Policy, error) {
	var p model.Policy
	for key, into := range map[string]*[]map[string]any{
		"permission": &p.Permission, "prohibition": &p.Prohibition, "obligation": &p.Obligation,
	} {
		for _, item := range list(first(raw, key)) {
			rule, ok := item.(map[string]any)
			if !ok {
				return p, fmt.Errorf("%s: an object is expected", key)
			}
			r, err := parseRule(rule)
			if err != nil {
				return p, fmt.Errorf("%s: %w", key, err)
			}
			*into = append(*into, r)
		}
	}
	return p, nil
}

func parseRule(rule map[string]any) (map[string]any, error) {
	action := plain(first(rule, "action"))
	if m, ok := action.(map[string]any); ok {
		action = plain(first(m, "type"))
	}
	a, ok := action.(string)
	if !ok || a == "" {
		return nil, errors.New("action is missing")
	}
	out := map[string]any{"action": unprefix(a)}
	constraints, err := parseConstraints(first(rule, "constraint"))
	if err != nil {
		return nil, err
	}
	if len(constraints) > 0 {
		out["constraint"] = constraints
	}
	return out, nil
}

// logical are the operators that combine constraints.
var logical = []string{"and", "or", "xone"}

func parseConstraints(v any) ([]any, error) {
	var out []any
	for _, item := range list(v) {
		c, ok := item.(map[string]any)
		if !ok {
			return nil, errors.New("constraint: an object is expected")
		}
		parsed, err := parseConstraint(c)
		if err != nil {
			return nil, err
		}
		out = append(out, parsed)
	}
	return out, nil
}

func parseConstraint(c map[string]any) (map[string]any, error) {
	for _, op := range logical {
		if v := first(c, op); v != nil {
			if m, ok := v.(map[string]any); ok && m["@list"] != nil {
				v = m["@list"]
			}
			inner, err := parseConstraints(v)
			if err != nil {
				return nil, err
			}
			return map[string]any{op: inner}, nil
		}
	}
	left, _ := plain(first(c, "leftOperand")).(string)
	op, _ := plain(first(c, "operator")).(string)
	right := plain(first(c, "rightOperand"))
	if left == "" || op == "" || right == nil {
		return nil, errors.New("constraint: leftOperand, operator and rightOperand are needed")
	}
	return map[string]any{"leftOperand": left, "operator": unprefix(op), "rightOperand": right}, nil
}

// Equal reports whether two policies ask for the same.
func Equal(a, b model.Policy) bool {
	return reflect.DeepEqual(canonical(a), canonical(b))
}

// canonical takes a policy through JSON, so that it makes no difference where it came from.
func canonical(p model.Policy) any {
	b, err := json.Marshal(p)
	if err != nil {
		return nil
	}
	var v any
	_ = json.Unmarshal(b, &v)
	return v
}

// Members returns the members of a policy as the DSP documents show them: empty lists are left out.
func Members(p model.Policy) map[string]any {
	out := map[string]any{}
	for k, rules := range map[string][]map[string]any{"permission": p.Permission, "prohibition": p.Prohibition, "obligation": p.Obligation} {
		if len(rules) > 0 {
			out[k] = rules
		}
	}
	return out
}

// first returns the member under its plain or its prefixed name.
func first(m map[string]any, key string) any {
	if v, ok := m[key]; ok {
		return v
	}
	return m["odrl:"+key]
}

// plain unwraps {"@id": x} and {"@value": x}.
func plain(v any) any {
	if m, ok := v.(map[string]any); ok {
		if id, ok := m["@id"]; ok {
			return id
		}
		if val, ok := m["@value"]; ok {
			return val
		}
	}
	if l, ok := v.([]any); ok && len(l) == 1 {
		return plain(l[0])
	}
	return v
}

func unprefix(s string) string {
	s = strings.TrimPrefix(s, "odrl:")
	return strings.TrimPrefix(s, "http://www.w3.org/ns/odrl/2/")
}

func list(v any) []any {
	switch v := v.(type) {
	case nil:
		return nil
	case []any:
		return v
	}
	return []any{v}
}
