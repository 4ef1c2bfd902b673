package dps

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/tidegate/tidegate/shared/problem"
)

// Limits of a message.
const (
	MaxMessage = 256 << 10 // bytes of a body
	MaxDepth   = 32        // objects and lists within each other
	maxID      = 512       // bytes of an id, a profile, a context
	maxList    = 256       // labels, endpoint properties
)

// object is a JSON object, read. Values are string, json.Number, bool, nil, []any and object.
type object map[string]any

// parseObject reads a body; an empty one and null are an object without members.
func parseObject(body []byte) (object, error) {
	if len(body) > MaxMessage {
		return nil, problem.New(problem.TooLarge, "the message is over %d bytes", MaxMessage)
	}
	body = bytes.TrimSpace(body)
	if len(body) == 0 || string(body) == "null" {
		return object{}, nil
	}
	if !utf8.Valid(body) {
		return nil, problem.New(problem.Invalid, "the message is not UTF-8")
	}
	if body[0] != '{' || !json.Valid(body) { // Valid also refuses text after the object
		return nil, problem.New(problem.Invalid, "the message is no JSON object")
	}
	p := parser{dec: json.NewDecoder(bytes.NewReader(body))}
	p.dec.UseNumber()
	v, err := p.value(0)
	if err != nil {
		return nil, err
	}
	o, _ := v.(object) // it begins with a brace
	return o, nil
}

type parser struct{ dec *json.Decoder }

// value reads one value of text that is known to be valid.
func (p parser) value(depth int) (any, error) {
	t, err := p.dec.Token()
	if err != nil {
		return nil, problem.Wrap(problem.Invalid, err, "the message is no JSON object")
	}
	delim, ok := t.(json.Delim)
	if !ok {
		return t, nil
	}
	if depth++; depth > MaxDepth {
		return nil, problem.New(problem.Invalid, "the message is deeper than %d levels", MaxDepth)
	}
	if delim == '[' {
		return p.list(depth)
	}
	return p.object(depth)
}

func (p parser) list(depth int) (any, error) {
	l := []any{}
	for p.dec.More() {
		v, err := p.value(depth)
		if err != nil {
			return nil, err
		}
		l = append(l, v)
	}
	_, err := p.dec.Token() // the bracket
	return l, err
}

func (p parser) object(depth int) (any, error) {
	o := object{}
	for p.dec.More() {
		t, err := p.dec.Token()
		if err != nil {
			return nil, err
		}
		name, _ := t.(string) // a name is a string
		if _, twice := o[name]; twice {
			return nil, problem.New(problem.Invalid, "the message has a member twice in one object")
		}
		v, err := p.value(depth)
		if err != nil {
			return nil, err
		}
		o[name] = v
	}
	_, err := p.dec.Token() // the brace
	return o, err
}

// reader reads members of an object and remembers the first fault.
type reader struct {
	o    object
	path string // of the object, with a dot at its end; empty at the top
	err  error
}

func (r *reader) fail(name, format string, args ...any) {
	if r.err == nil {
		r.err = problem.Field(r.path+name, format, args...)
	}
}

// text returns an optional string.
func (r *reader) text(name string) string {
	switch v := r.o[name].(type) {
	case nil:
		return ""
	case string:
		return v
	default:
		r.fail(name, "is %s, want a string", kindOf(v))
		return ""
	}
}

// id returns an optional string that serves as a name of something.
func (r *reader) id(name string) string {
	s := r.text(name)
	switch {
	case len(s) > maxID:
		r.fail(name, "has %d bytes, want at most %d", len(s), maxID)
	case strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || c == 0x7f }):
		r.fail(name, "holds control characters")
	default:
		return s
	}
	return ""
}

// need returns a string that must be there.
func (r *reader) need(name string) string {
	s := r.id(name)
	if s == "" {
		r.fail(name, "is missing, want a string")
	}
	return s
}

// needIf returns a string that must be there if required.
func (r *reader) needIf(required bool, name string) string {
	if required {
		return r.need(name)
	}
	return r.id(name)
}

// free returns an optional object of any content, with numbers as encoding/json has them.
func (r *reader) free(name string) map[string]any {
	switch v := r.o[name].(type) {
	case nil:
		return nil
	case object:
		out, ok := plain(v).(map[string]any)
		if !ok {
			r.fail(name, "holds a number out of range")
		}
		return out
	default:
		r.fail(name, "is %s, want an object", kindOf(v))
		return nil
	}
}

// list returns the elements of an optional list without its nulls; anything else counts as the only element.
func (r *reader) list(name string) []any {
	switch v := r.o[name].(type) {
	case nil:
		return nil
	case []any:
		if len(v) > maxList {
			r.fail(name, "has %d elements, want at most %d", len(v), maxList)
			return nil
		}
		return v
	default:
		return []any{v}
	}
}

func (r *reader) texts(name string) []string {
	var out []string
	for i, e := range r.list(name) {
		switch v := e.(type) {
		case nil:
		case string:
			out = append(out, v)
		default:
			r.fail(name+"["+strconv.Itoa(i)+"]", "is %s, want a string", kindOf(v))
		}
	}
	return out
}

// plain turns a value that was read into what encoding/json makes of it; a bare nil stands for a number out of range too.
func plain(v any) any {
	switch v := v.(type) {
	case object:
		out := make(map[string]any, len(v))
		for k, e := range v {
			p := plain(e)
			if p == nil && e != nil {
				return nil
			}
			out[k] = p
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			if out[i] = plain(e); out[i] == nil && e != nil {
				return nil
			}
		}
		return out
	case json.Number:
		f, err := v.Float64()
		if err != nil {
			return nil
		}
		return f
	default:
		return v
	}
}

func kindOf(v any) string {
	switch v.(type) {
	case object:
		return "an object"
	case []any:
		return "a list"
	case string:
		return "a string"
	case bool:
		return "a boolean"
	case json.Number:
		return "a number"
	default:
		return "null"
	}
}
