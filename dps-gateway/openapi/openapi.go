// Package openapi holds the descriptions of the gateway's listeners (OpenAPI 3.1), and tells tests what they say.
package openapi

import (
	"embed"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
)

// Files are signaling.yaml, public.yaml and internal.yaml.
//
//go:embed *.yaml
var Files embed.FS

// Operation is one documented operation.
type Operation struct {
	Method   string // upper case
	Path     string // with {parameters}
	Statuses []int  // that it may answer
}

// Operations reads the operations of a description: "signaling", "public" or "internal".
func Operations(name string) ([]Operation, error) {
	text, err := Files.ReadFile(name + ".yaml")
	if err != nil {
		return nil, fmt.Errorf("openapi: %w", err)
	}
	var doc struct {
		Paths map[string]map[string]any `yaml:"paths"`
	}
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return nil, fmt.Errorf("openapi: %s.yaml: %w", name, err)
	}
	var ops []Operation
	for path, item := range doc.Paths {
		for method, v := range item {
			if method == "parameters" {
				continue
			}
			op, ok := v.(map[string]any)
			if !ok {
				return nil, fmt.Errorf("openapi: %s.yaml: %s %s is no operation", name, method, path)
			}
			responses, ok := op["responses"].(map[string]any)
			if !ok {
				return nil, fmt.Errorf("openapi: %s.yaml: %s %s has no responses", name, method, path)
			}
			o := Operation{Method: strings.ToUpper(method), Path: path}
			for code := range responses {
				n, err := strconv.Atoi(code)
				if err != nil {
					return nil, fmt.Errorf("openapi: %s.yaml: %s %s: status %q", name, method, path, code)
				}
				o.Statuses = append(o.Statuses, n)
			}
			slices.Sort(o.Statuses)
			ops = append(ops, o)
		}
	}
	slices.SortFunc(ops, func(a, b Operation) int { return strings.Compare(a.Path+" "+a.Method, b.Path+" "+b.Method) })
	return ops, nil
}

// Match tells whether a request's escaped path is one of the operation's.
func (o Operation) Match(method, path string) bool {
	if o.Method != method {
		return false
	}
	want, got := strings.Split(o.Path, "/"), strings.Split(path, "/")
	for i, w := range want {
		if i >= len(got) || (w != got[i] && !strings.HasPrefix(w, "{")) {
			return false
		}
		if w == "{path}" {
			return true // may hold further segments
		}
	}
	return len(want) == len(got)
}

// Answers tells whether the operation may answer a status.
func (o Operation) Answers(status int) bool { return slices.Contains(o.Statuses, status) }
