package tenant

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"

	"github.com/tidegate/tidegate/shared/problem"
)

// Limits of one document.
const (
	MaxDocument = 512 << 10 // bytes; a ConfigMap holds 1 MiB in all
	MaxTokens   = 32 << 10  // YAML tokens (a rule has 13): the parser's time grows with their square for some documents
	MaxItems    = 1000      // entries of each list
)

// Validator is a further check of a document, e.g. that its rules compile. It returns nil, a problem.Field error whose
// field is a path like "approve.rules[2].when" (file and line are added), or several of them joined. It is called for a
// document with other faults too, so that all are reported together: it must bear empty values, and a fault of a field
// that has one already is dropped.
type Validator func(*Tenant) error

// Load reads one document, strictly: an unknown member, a wrong type, a missing or contradictory value is an error with
// file, line and field. The error joins all faults, each a *FaultError.
func Load(file string, validators ...Validator) (*Tenant, error) {
	data, err := read(file)
	if err != nil {
		return nil, err
	}
	return parse(file, data, validators)
}

// read returns the content of a document's file, bounded by MaxDocument.
func read(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, unreadable(file, err)
	}
	defer f.Close() //nolint:errcheck // it was only read
	data, err := io.ReadAll(io.LimitReader(f, MaxDocument+1))
	if err != nil {
		return nil, unreadable(file, err)
	}
	if len(data) > MaxDocument {
		return nil, &FaultError{File: file, Err: problem.New(problem.Invalid, "is larger than %d bytes", MaxDocument)}
	}
	return data, nil
}

func unreadable(file string, err error) error {
	return &FaultError{File: file, Err: problem.New(problem.Invalid, "can't be read: %w", cause(err))}
}

// cause is the error below an *fs.PathError, whose text would name the file a second time.
func cause(err error) error {
	if p, ok := errors.AsType[*os.PathError](err); ok {
		return p.Err
	}
	return err
}

// parse makes a tenant of a document, or says everything that is wrong with it.
func parse(file string, data []byte, validators []Validator) (*Tenant, error) {
	f := newFaults(file)
	body := syntax(f, data)
	if body == nil {
		return nil, f.err()
	}
	t := &Tenant{file: file, lines: f.lines}
	decoder{f}.value(body, reflect.ValueOf(t).Elem(), "")
	setDefaults(t)
	t.resolveFiles(filepath.Dir(file))
	checker{f}.tenant(t)
	for _, v := range validators {
		f.addValidator(v(t))
	}
	if err := f.err(); err != nil {
		return nil, err
	}
	return t, nil
}

// syntax returns the one mapping that a document consists of, or nil with a fault recorded.
func syntax(f *faults, data []byte) ast.Node {
	if !utf8.Valid(data) {
		f.add("", "is not UTF-8 text")
		return nil
	}
	if bytes.IndexByte(data, 0) >= 0 {
		f.add("", "holds a zero byte")
		return nil
	}
	tree, err := parseTree(data)
	if err != nil {
		at := 1
		msg := err.Error()
		if y, ok := errors.AsType[yaml.Error](err); ok {
			msg = y.GetMessage()
			if t := y.GetToken(); t != nil && t.Position != nil {
				at = t.Position.Line
			}
		}
		f.list = append(f.list, &FaultError{File: f.file, Line: at, Err: problem.New(problem.Invalid, "can't be parsed: %s", strings.Join(strings.Fields(msg), " "))})
		return nil
	}
	var body ast.Node
	for _, doc := range tree.Docs {
		if doc.Body == nil {
			continue
		}
		if body != nil {
			f.list = append(f.list, &FaultError{File: f.file, Line: line(doc.Body), Err: problem.New(problem.Invalid, "a second document begins here, expected is one tenant a file")})
			return nil
		}
		body = doc.Body
	}
	switch body.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return body
	case nil, *ast.NullNode:
		f.add("", "is empty, expected is a tenant's document")
	default:
		f.add("", "is %s, expected is a mapping with members like %s", kind(body), firstMember(reflect.TypeFor[Tenant]()))
	}
	return nil
}

// parseTree parses YAML. A panic of the parser is a fault of the document: it must not stop the other tenants.
func parseTree(data []byte) (tree *ast.File, err error) {
	defer func() {
		if r := recover(); r != nil {
			tree, err = nil, fmt.Errorf("the parser gave up: %v", r)
		}
	}()
	tokens := lexer.Tokenize(string(data))
	if len(tokens) > MaxTokens {
		return nil, fmt.Errorf("the document has %d tokens, at most %d are taken", len(tokens), MaxTokens)
	}
	return parser.Parse(tokens, 0, parser.AllowDuplicateMapKey()) // duplicates are found by decoder.members, all of them
}
