package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/tidegate/tidegate/infra/sandbox/engine"
	"github.com/tidegate/tidegate/infra/sandbox/model"
	"github.com/tidegate/tidegate/infra/sandbox/query"
)

const (
	maxBody           = 1 << 20 // bytes of a request
	managementContext = "https://w3id.org/edc/connector/management/v2"
	defaultLimit      = 50
)

// document is a request body.
type document map[string]any

// violation is one fault of a document; path is a JSON pointer.
type violation struct{ message, path string }

// validation is the list of faults of a document.
type validation []violation

func (v validation) Error() string {
	parts := make([]string, len(v))
	for i, f := range v {
		parts[i] = f.path + ": " + f.message
	}
	return strings.Join(parts, "; ")
}

func (v validation) errors() []apiError {
	out := make([]apiError, len(v))
	for i, f := range v {
		out[i] = apiError{Message: f.message, Type: "ValidationFailure", Path: &f.path}
	}
	return out
}

// read reads a body and checks it as the JSON schema of its type does: @context, @type, required members.
func (c *call) read(typ string, required ...string) (document, error) {
	d, err := c.readAny()
	if err != nil {
		return nil, err
	}
	if d == nil {
		return nil, engine.Invalid("Request body is missing")
	}
	if v := checkSchema(d, typ, required); len(v) > 0 {
		return nil, v
	}
	return d, nil
}

// readAny reads a JSON object; nil if the body is empty.
func (c *call) readAny() (document, error) {
	b, err := io.ReadAll(c.r.Body)
	if err != nil {
		if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
			return nil, &engine.FaultError{Status: http.StatusRequestEntityTooLarge, Type: "InvalidRequest", Message: "Request body is too large"}
		}
		return nil, engine.Invalid("Request body cannot be read")
	}
	return decodeDocument(b)
}

// decodeDocument decodes one JSON object; nil for nothing.
func decodeDocument(b []byte) (document, error) {
	if len(strings.TrimSpace(string(b))) == 0 {
		return nil, nil
	}
	var d document
	if err := json.Unmarshal(b, &d); err != nil || d == nil {
		return nil, engine.Invalid("Request body is not a JSON object")
	}
	return d, nil
}

func checkSchema(d document, typ string, required []string) validation {
	var out validation
	for _, name := range append([]string{"@context", "@type"}, required...) {
		if _, ok := d[name]; !ok {
			out = append(out, violation{"required property '" + name + "' not found", ""})
		}
	}
	if v, ok := d["@context"]; ok {
		l, isList := v.([]any)
		switch {
		case !isList:
			out = append(out, violation{jsonType(v) + " found, array expected", "/@context"})
		case !slices.Contains(l, any(managementContext)):
			out = append(out, violation{"does not contain an element that passes these validations: {\"const\":\"" + managementContext + "\"}", "/@context"})
		}
	}
	if v, ok := d["@type"]; ok && v != any(typ) {
		out = append(out, violation{"must be the constant value '" + typ + "'", "/@type"})
	}
	return out
}

func jsonType(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case float64:
		return "number"
	case string:
		return "string"
	case []any:
		return "array"
	}
	return "object"
}

// need gathers violations of members by type.
type need struct {
	d   document
	out validation
}

func (n *need) wrong(name, expected string) {
	n.out = append(n.out, violation{jsonType(n.d[name]) + " found, " + expected + " expected", "/" + name})
}

// text returns a string member, "" if absent.
func (n *need) text(name string) string {
	v, ok := n.d[name]
	if !ok {
		return ""
	}
	if m, isMap := v.(map[string]any); isMap {
		v = m["@id"]
	}
	s, ok := v.(string)
	if !ok {
		n.wrong(name, "string")
	}
	return s
}

func (n *need) object(name string) map[string]any {
	v, ok := n.d[name]
	if !ok {
		return nil
	}
	m, ok := v.(map[string]any)
	if !ok {
		n.wrong(name, "object")
	}
	return m
}

func (n *need) list(name string) []any {
	v, ok := n.d[name]
	if !ok {
		return nil
	}
	l, ok := v.([]any)
	if !ok {
		n.wrong(name, "array")
	}
	return l
}

func (n *need) texts(name string) []string {
	var out []string
	for i, v := range n.list(name) {
		s, ok := v.(string)
		if !ok {
			n.out = append(n.out, violation{jsonType(v) + " found, string expected", fmt.Sprintf("/%s/%d", name, i)})
		}
		out = append(out, s)
	}
	return out
}

func (n *need) err() error {
	if len(n.out) == 0 {
		return nil
	}
	return n.out
}

// querySpec reads the body of a query; an empty body asks for everything.
func (c *call) querySpec() (query.Spec, error) {
	d, err := c.readAny()
	if err != nil {
		return query.Spec{}, err
	}
	if d == nil {
		return query.Spec{Limit: defaultLimit}, nil
	}
	if v := checkSchema(d, "QuerySpec", nil); len(v) > 0 {
		return query.Spec{}, v
	}
	return parseQuery(d)
}

func parseQuery(d document) (query.Spec, error) {
	q := query.Spec{Limit: defaultLimit}
	n := &need{d: d}
	integer := func(name string, least int, into *int) {
		v, ok := d[name]
		if !ok {
			return
		}
		f, ok := v.(float64)
		if !ok || f != float64(int(f)) {
			n.wrong(name, "integer")
			return
		}
		if *into = int(f); *into < least {
			n.out = append(n.out, violation{fmt.Sprintf("must have a minimum value of %d", least), "/" + name})
		}
	}
	integer("offset", 0, &q.Offset)
	integer("limit", 1, &q.Limit)
	q.SortField = n.text("sortField")
	switch o := n.text("sortOrder"); o {
	case "", "ASC":
	case "DESC":
		q.Desc = true
	default:
		n.out = append(n.out, violation{`does not have a value in the enumeration ["ASC", "DESC"]`, "/sortOrder"})
	}
	var err error
	if q.Filter, err = parseCriteria(n, "filterExpression"); err != nil {
		return q, err
	}
	return q, n.err()
}

// parseCriteria reads a list of Criterion.
func parseCriteria(n *need, name string) ([]model.Criterion, error) {
	var out []model.Criterion
	for i, v := range n.list(name) {
		at := fmt.Sprintf("/%s/%d", name, i)
		m, ok := v.(map[string]any)
		if !ok {
			n.out = append(n.out, violation{jsonType(v) + " found, object expected", at})
			continue
		}
		for _, r := range []string{"operandLeft", "operator", "operandRight"} {
			if _, ok := m[r]; !ok {
				n.out = append(n.out, violation{"required property '" + r + "' not found", at})
			}
		}
		left, _ := m["operandLeft"].(string)
		op, _ := m["operator"].(string)
		if op != "" && !slices.Contains(query.Operators, op) {
			return nil, engine.Invalid("The operator %s is not supported", op)
		}
		out = append(out, model.Criterion{OperandLeft: left, Operator: op, OperandRight: m["operandRight"]})
	}
	return out, nil
}
