// Package query filters, sorts and pages the objects of the sandbox as a QuerySpec of the Management API asks.
package query

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/tidegate/tidegate/infra/sandbox/model"
)

// Spec is a QuerySpec.
type Spec struct {
	Offset    int
	Limit     int // 0 = all; the API's default is 50
	SortField string
	Desc      bool
	Filter    []model.Criterion
}

// Operators are those that a criterion may have.
var Operators = []string{"=", "!=", "<", "<=", ">", ">=", "in", "not in", "like", "ilike", "contains"}

// Field finds the value of an operand in an object; ok is false if the object has no such field.
type Field[T any] func(obj *T, operand string) (v any, ok bool)

// state is a state with its number, which a query may use instead of the name.
type state struct {
	name string
	code int
}

// Apply filters, sorts and cuts a list.
func Apply[T any](q Spec, objs []*T, f Field[T]) []*T {
	var out []*T
	for _, o := range objs {
		if Matches(q.Filter, o, f) {
			out = append(out, o)
		}
	}
	if q.SortField != "" {
		slices.SortStableFunc(out, func(a, b *T) int {
			va, _ := f(a, q.SortField)
			vb, _ := f(b, q.SortField)
			c := compare(va, vb)
			if q.Desc {
				return -c
			}
			return c
		})
	}
	if q.Offset >= len(out) {
		return nil
	}
	out = out[q.Offset:]
	if q.Limit > 0 && len(out) > q.Limit {
		out = out[:q.Limit]
	}
	return out
}

// Matches reports whether an object fulfils all criteria.
func Matches[T any](cs []model.Criterion, o *T, f Field[T]) bool {
	for _, c := range cs {
		v, ok := f(o, c.OperandLeft)
		if !ok {
			v = nil
		}
		if !holds(v, c.Operator, c.OperandRight) {
			return false
		}
	}
	return true
}

func holds(v any, op string, right any) bool {
	switch op {
	case "=":
		return equal(v, right)
	case "!=":
		return !equal(v, right)
	case "in":
		return slices.ContainsFunc(items(right), func(r any) bool { return equal(v, r) })
	case "not in":
		return !slices.ContainsFunc(items(right), func(r any) bool { return equal(v, r) })
	case "like":
		return v != nil && like(text(v), text(right))
	case "ilike":
		return v != nil && like(strings.ToLower(text(v)), strings.ToLower(text(right)))
	case "contains":
		return slices.ContainsFunc(items(v), func(x any) bool { return equal(x, right) })
	}
	if v == nil {
		return false
	}
	c := compare(v, right)
	return op == "<" && c < 0 || op == "<=" && c <= 0 || op == ">" && c > 0 || op == ">=" && c >= 0
}

func equal(v, right any) bool {
	if s, ok := v.(state); ok {
		if n, ok := number(right); ok {
			return float64(s.code) == n
		}
		return s.name == text(right)
	}
	if l, ok := v.([]any); ok {
		if _, both := right.([]any); !both {
			return slices.ContainsFunc(l, func(x any) bool { return equal(x, right) })
		}
	}
	if v == nil || right == nil {
		return v == nil && right == nil
	}
	if a, ok := number(v); ok {
		if b, ok := number(right); ok {
			return a == b
		}
	}
	return text(v) == text(right)
}

func compare(a, b any) int {
	x, okA := number(a)
	y, okB := number(b)
	if okA && okB {
		return cmp.Compare(x, y)
	}
	return cmp.Compare(text(a), text(b))
}

func number(v any) (float64, bool) {
	switch n := v.(type) {
	case float64:
		return n, true
	case int64:
		return float64(n), true
	case int:
		return float64(n), true
	case state:
		return float64(n.code), true
	}
	return 0, false
}

func text(v any) string {
	switch s := v.(type) {
	case nil:
		return ""
	case string:
		return s
	case state:
		return s.name
	}
	return fmt.Sprint(v)
}

func items(v any) []any {
	switch l := v.(type) {
	case nil:
		return nil
	case []any:
		return l
	case []string:
		out := make([]any, len(l))
		for i, s := range l {
			out[i] = s
		}
		return out
	}
	return []any{v}
}

// like matches SQL patterns: % any run of characters, _ any one character.
func like(s, pattern string) bool {
	r, p := []rune(s), []rune(pattern)
	i, j, star, mark := 0, 0, -1, 0
	for i < len(r) {
		switch {
		case j < len(p) && p[j] == '%':
			star, mark = j, i
			j++
		case j < len(p) && (p[j] == '_' || p[j] == r[i]):
			i++
			j++
		case star >= 0:
			mark++
			i, j = mark, star+1
		default:
			return false
		}
	}
	for j < len(p) && p[j] == '%' {
		j++
	}
	return j == len(p)
}
