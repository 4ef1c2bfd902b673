package tenant

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/goccy/go-yaml/ast"
)

const (
	maxDepth = 32  // how deep a policy may nest; the rest of a document is as deep as its type
	maxName  = 256 // bytes of a member's name
)

// decoder fills a Tenant from the syntax tree. It stands in for yaml.Unmarshal, which stops at the first fault and does
// not tell the lines of what it has read.
type decoder struct{ *faults }

// value reads a node into v. A null is a member that is not there.
func (d decoder) value(n ast.Node, v reflect.Value, path string) {
	switch n := n.(type) {
	case nil, *ast.NullNode:
		return
	case *ast.AnchorNode, *ast.AliasNode, *ast.TagNode, *ast.MergeKeyNode:
		d.add(path, "YAML anchors, aliases, tags and merge keys are not taken, write the value out")
		return
	default:
		d.plain(n, v, path)
	}
}

func (d decoder) plain(n ast.Node, v reflect.Value, path string) {
	if u, ok := reflect.TypeAssert[encoding.TextUnmarshaler](v.Addr()); ok {
		s, ok := text(n)
		if !ok {
			s = kind(n) // a number without a unit: the type says what it expects
		}
		if err := u.UnmarshalText([]byte(s)); err != nil {
			d.add(path, "%w", err)
		}
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.object(n, v, path)
	case reflect.Slice:
		d.list(n, v, path)
	case reflect.Map:
		d.anyMap(n, v, path)
	case reflect.String:
		if s, ok := text(n); ok {
			v.SetString(s)
		} else {
			d.add(path, "is %s, expected is a text%s", kind(n), quoteHint(n))
		}
	case reflect.Bool:
		if b, ok := n.(*ast.BoolNode); ok {
			v.SetBool(b.Value)
		} else {
			d.add(path, "is %s, expected is true or false", kind(n))
		}
	case reflect.Int, reflect.Int64:
		d.integer(n, v, path)
	default:
		panic("tenant: no decoding of " + v.Type().String())
	}
}

// object reads a mapping into a struct by its yaml tags.
func (d decoder) object(n ast.Node, v reflect.Value, path string) {
	members, ok := d.members(n, path)
	if !ok {
		d.add(path, "is %s, expected is a mapping with members like %s", kind(n), firstMember(v.Type()))
		return
	}
	fields := map[string]reflect.Value{}
	var known []string
	for f, fv := range v.Fields() {
		if name := memberName(f); name != "" {
			fields[name] = fv
			known = append(known, name)
		}
	}
	for _, m := range members {
		if fv, ok := fields[m.name]; ok {
			d.value(m.value, fv, m.path)
		} else {
			d.add(m.path, "no such member, expected is one of %s", strings.Join(known, ", "))
		}
	}
}

func (d decoder) list(n ast.Node, v reflect.Value, path string) {
	seq, ok := n.(*ast.SequenceNode)
	if !ok {
		d.add(path, "is %s, expected is a list", kind(n))
		return
	}
	if len(seq.Values) > MaxItems {
		d.add(path, "has %d entries, at most %d are taken", len(seq.Values), MaxItems)
		return
	}
	out := reflect.MakeSlice(v.Type(), len(seq.Values), len(seq.Values))
	for i, item := range seq.Values {
		at := path + "[" + strconv.Itoa(i) + "]"
		d.lines[at] = line(item)
		if _, null := item.(*ast.NullNode); null {
			d.add(at, "is empty")
			continue
		}
		d.value(item, out.Index(i), at)
	}
	v.Set(out)
}

// anyMap reads a mapping into a map[string]string, or into a map[string]any with the shapes of encoding/json.
func (d decoder) anyMap(n ast.Node, v reflect.Value, path string) {
	if v.Type() == reflect.TypeFor[map[string]any]() {
		if m, ok := d.json(n, path, 0).(map[string]any); ok {
			v.Set(reflect.ValueOf(m))
		} else {
			d.add(path, "is %s, expected is a mapping", kind(n))
		}
		return
	}
	members, ok := d.members(n, path)
	if !ok {
		d.add(path, "is %s, expected is a mapping", kind(n))
		return
	}
	out := reflect.MakeMapWithSize(v.Type(), len(members))
	for _, m := range members {
		item := reflect.New(v.Type().Elem()).Elem()
		d.value(m.value, item, m.path)
		out.SetMapIndex(reflect.ValueOf(m.name), item)
	}
	v.Set(out)
}

// json reads a node into what encoding/json would have made of it, so that a policy of a document can be compared with
// one that the control plane answers.
func (d decoder) json(n ast.Node, path string, depth int) any {
	if depth > maxDepth {
		d.add(path, "is nested deeper than %d levels", maxDepth)
		return nil
	}
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value
	case *ast.LiteralNode:
		return n.Value.Value
	case *ast.BoolNode:
		return n.Value
	case *ast.IntegerNode:
		f, err := strconv.ParseFloat(fmt.Sprint(n.Value), 64)
		if err != nil {
			d.add(path, "%s is no number", n.Token.Value)
		}
		return f
	case *ast.FloatNode:
		return n.Value
	case *ast.SequenceNode:
		out := make([]any, len(n.Values))
		for i, item := range n.Values {
			at := path + "[" + strconv.Itoa(i) + "]"
			d.lines[at] = line(item)
			out[i] = d.json(item, at, depth+1)
		}
		return out
	case *ast.MappingNode, *ast.MappingValueNode:
		members, _ := d.members(n, path)
		out := make(map[string]any, len(members))
		for _, m := range members {
			out[m.name] = d.json(m.value, m.path, depth+1)
		}
		return out
	case nil, *ast.NullNode:
		return nil
	}
	d.add(path, "%s is not taken here", kind(n))
	return nil
}

func (d decoder) integer(n ast.Node, v reflect.Value, path string) {
	i, ok := n.(*ast.IntegerNode)
	if !ok {
		d.add(path, "is %s, expected is a whole number", kind(n))
		return
	}
	num, err := strconv.ParseInt(fmt.Sprint(i.Value), 10, v.Type().Bits())
	if err != nil {
		d.add(path, "%s is out of range", i.Token.Value)
		return
	}
	v.SetInt(num)
}

// member is one pair of a mapping.
type member struct {
	name, path string
	value      ast.Node
}

// members returns the pairs of a mapping and notes their lines; false if the node is none. A member that stands twice is
// a fault: YAML readers differ in which one they take.
func (d decoder) members(n ast.Node, path string) ([]member, bool) {
	var pairs []*ast.MappingValueNode
	switch n := n.(type) {
	case *ast.MappingNode:
		pairs = n.Values
	case *ast.MappingValueNode:
		pairs = []*ast.MappingValueNode{n}
	default:
		return nil, false
	}
	var out []member
	for _, p := range pairs {
		name, ok := text(p.Key)
		if !ok {
			d.add(path, "has a member named by %s in line %d, expected is a text", kind(p.Key), line(p.Key))
			continue
		}
		if name == "" || len(name) > maxName || strings.ContainsFunc(name, unicode.IsControl) {
			d.add(path, "has a member named %s in line %d, expected are 1 to %d bytes without control characters", quote(name), line(p.Key), maxName)
			continue
		}
		at := name
		if path != "" {
			at = path + "." + name
		}
		if slices.ContainsFunc(out, func(m member) bool { return m.name == name }) {
			d.add(at, "stands twice, in line %d and in line %d", d.lines[at], line(p.Key))
			continue
		}
		d.lines[at] = line(p.Key)
		out = append(out, member{name, at, p.Value})
	}
	return out, true
}
