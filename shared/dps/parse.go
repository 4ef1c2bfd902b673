package dps

import (
	"bytes"
	"encoding/json"
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

// bom may stand before JSON text, and means nothing (RFC 8259, section 8.1).
var bom = []byte("\ufeff")

// object is a JSON object, read. Values are string, json.Number, bool, nil, []any and object.
type object map[string]any

// parseObject reads a body; an empty one and null are an object without members.
func parseObject(body []byte) (object, error) {
	if len(body) > MaxMessage {
		return nil, problem.New(problem.TooLarge, "the message is over %d bytes", MaxMessage)
	}
	body = bytes.Trim(bytes.TrimPrefix(body, bom), " \t\r\n")
	if len(body) == 0 || string(body) == "null" {
		return object{}, nil
	}
	if !utf8.Valid(body) {
		return nil, problem.New(problem.Invalid, "the message is not UTF-8")
	}
	if body[0] != '{' || !json.Valid(body) { // Valid also refuses text after the object
		return nil, problem.New(problem.Invalid, "the message is no JSON object")
	}
	p := parser{text: string(body)}
	v, err := p.value(0)
	if err != nil {
		return nil, err
	}
	o, _ := v.(object) // it begins with a brace
	return o, nil
}

// parser walks text that is known to be valid JSON, and UTF-8. Reading the same with encoding/json's tokens, which is what
// it takes to see a member that is given twice, costs two to four times as much. Strings are parts of the text where possible.
type parser struct {
	text string
	pos  int
}

// next skips white space and the punctuation between values, and returns the character there.
func (p *parser) next() byte {
	for {
		switch c := p.text[p.pos]; c {
		case ' ', '\t', '\r', '\n', ',', ':':
			p.pos++
		default:
			return c
		}
	}
}

func (p *parser) value(depth int) (any, error) {
	switch c := p.next(); c {
	case '{', '[':
		if depth++; depth > MaxDepth {
			return nil, problem.New(problem.Invalid, "the message is deeper than %d levels", MaxDepth)
		}
		p.pos++
		if c == '[' {
			return p.list(depth)
		}
		return p.object(depth)
	case '"':
		return p.str()
	default:
		return p.word(), nil
	}
}

func (p *parser) list(depth int) (any, error) {
	l := []any{}
	for p.next() != ']' {
		v, err := p.value(depth)
		if err != nil {
			return nil, err
		}
		l = append(l, v)
	}
	p.pos++
	return l, nil
}

func (p *parser) object(depth int) (any, error) {
	o := object{}
	for p.next() != '}' {
		name, err := p.str()
		if err != nil {
			return nil, err
		}
		if _, twice := o[name]; twice {
			return nil, problem.New(problem.Invalid, "the message has a member twice in one object")
		}
		if o[name], err = p.value(depth); err != nil {
			return nil, err
		}
	}
	p.pos++
	return o, nil
}

// str reads a string. One with escapes is left to encoding/json.
func (p *parser) str() (string, error) {
	begin, escaped := p.pos, false
	for p.pos++; p.text[p.pos] != '"'; p.pos++ {
		if p.text[p.pos] == '\\' {
			escaped = true
			p.pos++ // whatever is escaped, it does not end the string
		}
	}
	p.pos++
	if !escaped {
		return p.text[begin+1 : p.pos-1], nil
	}
	var s string
	if err := json.Unmarshal([]byte(p.text[begin:p.pos]), &s); err != nil {
		return "", problem.Wrap(problem.Invalid, err, "the message is no JSON object")
	}
	return s, nil
}

// word reads a number, true, false or null.
func (p *parser) word() any {
	begin := p.pos
	for p.pos < len(p.text) && strings.IndexByte(" \t\r\n,:]}", p.text[p.pos]) < 0 {
		p.pos++
	}
	switch w := p.text[begin:p.pos]; w {
	case "null":
		return nil
	case "true":
		return true
	case "false":
		return false
	default:
		return json.Number(w)
	}
}
