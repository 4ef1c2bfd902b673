package manifest

import (
	"fmt"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"

	"github.com/tidegate/tidegate/shared/problem"
)

// document is one YAML document with its place.
type document struct {
	file string
	body ast.Node
}

// decode fills v, refusing fields that v does not have.
func (d *document) decode(v any) error {
	if err := yaml.NodeToValue(d.body, v, yaml.DisallowUnknownField()); err != nil {
		return yamlFault(d.file, err)
	}
	return nil
}

// origin is where the document begins.
func (d *document) origin() Origin { return Origin{File: d.file, Line: line(d.body)} }

// fault is an error about a field of the document, given as a path such as spec.delivery.retry or spec.filters[0].exact.
func (d *document) fault(field, format string, args ...any) error {
	return problem.New(problem.Invalid, "%s:%d: %s: %s", d.file, d.line(field), field, oneLine(fmt.Sprintf(format, args...)))
}

// line returns the line of the field, or of the nearest field above it that is there.
func (d *document) line(field string) int {
	for f := field; f != ""; f = parent(f) {
		p, err := yaml.PathString("$." + f)
		if err != nil {
			continue
		}
		if n, err := p.FilterNode(d.body); err == nil && n != nil {
			return line(n)
		}
	}
	return line(d.body)
}

func parent(field string) string {
	for i := len(field) - 1; i > 0; i-- {
		if field[i] == '.' || field[i] == '[' {
			return field[:i]
		}
	}
	return ""
}

// line is where a node begins: a mapping's own token is its first colon, so its first key tells.
func line(n ast.Node) int {
	if m, ok := n.(*ast.MappingNode); ok && len(m.Values) > 0 {
		n = m.Values[0].Key
	}
	if m, ok := n.(*ast.MappingValueNode); ok {
		n = m.Key
	}
	if tk := n.GetToken(); tk != nil && tk.Position != nil {
		return tk.Position.Line
	}
	return 0
}
