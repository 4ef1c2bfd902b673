package tenant

import (
	"reflect"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// text returns the value of a text node, quoted, plain or block.
func text(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	}
	return "", false
}

// line returns the line that a node starts in. A mapping's own token is the colon of its first pair.
func line(n ast.Node) int {
	switch m := n.(type) {
	case nil:
		return 0
	case *ast.MappingNode:
		if len(m.Values) > 0 && !m.IsFlowStyle {
			return line(m.Values[0].Key)
		}
	case *ast.MappingValueNode:
		return line(m.Key)
	}
	if t := n.GetToken(); t != nil && t.Position != nil {
		return t.Position.Line
	}
	return 0
}

// kind names what a node is, for people.
func kind(n ast.Node) string {
	switch n := n.(type) {
	case nil, *ast.NullNode:
		return "empty"
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	case *ast.BoolNode, *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value
	case *ast.StringNode, *ast.LiteralNode:
		return "a text"
	}
	return "something else (an anchor, alias or tag)"
}

// quoteHint tells how to write a scalar that YAML takes for a number or a truth value, and that was meant as a text.
func quoteHint(n ast.Node) string {
	switch n.(type) {
	case *ast.BoolNode, *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return `, write "` + n.GetToken().Value + `" in quotes`
	}
	return ""
}

// memberName is the name of a struct field in YAML; "" for a field that is not in the document.
func memberName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
	return name
}

func firstMember(t reflect.Type) string {
	for f := range t.Fields() {
		if name := memberName(f); name != "" {
			return name
		}
	}
	return "none"
}
