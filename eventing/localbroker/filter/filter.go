// Package filter decides which events a Trigger wants: the dialects of the CloudEvents Subscriptions API as Knative has them
// (exact, prefix, suffix, all, any, not, cesql) and the older filter by attributes.
//
// A dialect is one file. A filter has three outcomes, as in Knative: an empty expression neither passes nor fails, and
// "not" leaves it so. A Trigger lets through what does not fail.
package filter

import (
	"fmt"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/tidegate/tidegate/eventing/localbroker/manifest"
	"github.com/tidegate/tidegate/shared/problem"
)

// Result is what a filter says about an event.
type Result uint8

// The outcomes of a filter.
const (
	None Result = iota // nothing to say: the expression is empty
	Pass
	Fail
)

// Filter looks at one event's attributes. It is safe for concurrent use and keeps nothing.
type Filter interface {
	Filter(e *event.Event) Result
}

// ForTrigger makes the filter of a Trigger: all of its filters, or, if it has none, its attributes.
func ForTrigger(t *manifest.Trigger) (Filter, error) {
	if len(t.Filters) == 0 {
		return attributesFilter(t.Attributes), nil
	}
	f, err := list(t.Filters)
	if err != nil {
		return nil, problem.New(problem.Invalid, "%s:%d: Trigger %s: %w", t.File, t.Line, t.Name, err)
	}
	return allFilter(f), nil
}

// Matches tells whether the Trigger that f belongs to wants the event.
func Matches(f Filter, e *event.Event) bool { return f.Filter(e) != Fail }

func list(specs []manifest.Filter) ([]Filter, error) {
	out := make([]Filter, 0, len(specs))
	for i := range specs {
		f, err := one(&specs[i])
		if err != nil {
			return nil, err
		}
		out = append(out, f)
	}
	return out, nil
}

func one(s *manifest.Filter) (Filter, error) {
	switch {
	case len(s.Exact) > 0:
		return exactFilter(s.Exact), nil
	case len(s.Prefix) > 0:
		return prefixFilter(s.Prefix), nil
	case len(s.Suffix) > 0:
		return suffixFilter(s.Suffix), nil
	case len(s.All) > 0:
		f, err := list(s.All)
		return allFilter(f), err
	case len(s.Any) > 0:
		f, err := list(s.Any)
		return anyFilter(f), err
	case s.Not != nil:
		f, err := one(s.Not)
		return notFilter{f}, err
	case s.CESQL != "":
		return newCESQL(s.CESQL)
	}
	return attributesFilter(nil), nil
}

// attribute returns an attribute's value as text; false if the event has no such attribute.
func attribute(e *event.Event, name string) (string, bool) {
	switch name {
	case "specversion":
		return e.SpecVersion(), true
	case "type":
		return e.Type(), true
	case "source":
		return e.Source(), true
	case "id":
		return e.ID(), true
	case "subject":
		return e.Subject(), true
	case "dataschema":
		return e.DataSchema(), true
	case "datacontenttype":
		return e.DataContentType(), true
	case "time":
		b, err := e.Time().MarshalText()
		return string(b), err == nil
	}
	v, ok := e.Extensions()[name]
	if !ok {
		return "", false
	}
	if s, isString := v.(string); isString {
		return s, true
	}
	return fmt.Sprint(v), true
}
