package dps

import (
	"encoding/json"
	"strconv"
	"strings"

	"github.com/tidegate/tidegate/shared/problem"
)

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
