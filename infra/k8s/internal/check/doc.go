// Package check looks at rendered manifests as the API server and the webhooks of Knative would, and then at what these let pass and
// what never works: a Trigger whose subscriber is not there, an event type that nobody sends, a time limit above the one that ends it,
// a secret in a ConfigMap. Every fault names the object, the field and what is expected.
package check

import (
	"fmt"
	"slices"
	"strings"
)

// Fault is one thing that is wrong.
type Fault struct {
	Object  string // Kind/name
	Field   string // a path such as spec.template.spec.containers[0].image
	Message string
}

func (f Fault) String() string {
	if f.Field == "" {
		return f.Object + ": " + f.Message
	}
	return f.Object + ": " + f.Field + ": " + f.Message
}

// Promise is a Secret that an overlay does not render, because its content belongs elsewhere, but that its operator must provide.
type Promise struct {
	Name string   `json:"name"`
	Keys []string `json:"keys"`
}

// Options of a check.
type Options struct {
	Promised []Promise
	// Placeholders allows images without a tag: an overlay that names no registry.
	Placeholders bool
}

// all are the rules, in the order in which their faults are told.
var all = []func(*set){
	images, security, probes, resources, volumes, accounts,
	secretsInTheOpen, tenants, services, addresses, locality, eventing, timeLimits, autoscaling, policies,
}

// Manifests checks a set of objects that are applied together: a YAML stream.
func Manifests(stream []byte, o Options) []Fault {
	s := parse(stream)
	s.options = o
	if len(s.faults) == 0 { // what can't be read is not judged further
		for _, rule := range all {
			rule(s)
		}
	}
	slices.SortStableFunc(s.faults, func(a, b Fault) int { return strings.Compare(a.Object, b.Object) })
	return slices.Compact(s.faults)
}

func (s *set) fault(o *object, field, format string, args ...any) {
	s.faults = append(s.faults, Fault{Object: o.String(), Field: field, Message: fmt.Sprintf(format, args...)})
}
