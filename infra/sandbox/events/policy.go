package events

import (
	"strings"

	"github.com/tidegate/tidegate/infra/sandbox/model"
)

// policy is the JSON of EDC's Java policy classes, which is what events carry instead of ODRL.
func policy(kind string, p model.Policy, target, assigner, assignee string) map[string]any {
	return map[string]any{
		"permissions": rules("permission", p.Permission), "prohibitions": rules("prohibition", p.Prohibition),
		"obligations": rules("duty", p.Obligation), "profiles": []any{}, "extensibleProperties": map[string]any{},
		"inheritsFrom": nil, "assigner": orNull(assigner), "assignee": orNull(assignee), "target": target,
		"@type": map[string]any{"@policytype": kind},
	}
}

func rules(kind string, in []map[string]any) []any {
	out := []any{}
	for _, r := range in {
		cs, _ := r["constraint"].([]any)
		rule := map[string]any{
			"edctype":     "dataspaceconnector:" + kind,
			"action":      map[string]any{"type": r["action"], "includedIn": nil, "constraint": nil},
			"constraints": constraints(cs),
		}
		if kind == "permission" {
			rule["duties"] = []any{}
		}
		out = append(out, rule)
	}
	return out
}

func constraints(in []any) []any {
	out := []any{}
	for _, v := range in {
		c, ok := v.(map[string]any)
		if !ok {
			continue
		}
		if op, inner := combined(c); op != "" {
			out = append(out, map[string]any{"edctype": op, "constraints": constraints(inner)})
			continue
		}
		op, _ := c["operator"].(string)
		out = append(out, map[string]any{
			"edctype":         "AtomicConstraint",
			"leftExpression":  literal(c["leftOperand"]),
			"rightExpression": literal(c["rightOperand"]),
			"operator":        strings.ToUpper(op),
		})
	}
	return out
}

func combined(c map[string]any) (string, []any) {
	for key, class := range map[string]string{"and": "AndConstraint", "or": "OrConstraint", "xone": "XoneConstraint"} {
		if inner, ok := c[key].([]any); ok {
			return class, inner
		}
	}
	return "", nil
}

func literal(v any) map[string]any {
	return map[string]any{"edctype": "dataspaceconnector:literalexpression", "value": v}
}
