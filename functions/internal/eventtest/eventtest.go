// Package eventtest holds what functions send against the catalogue of events: the type is one of the catalogue's, the
// attributes are those that every event has, and the data is what the type's schema says.
package eventtest

import (
	"bytes"
	"context"
	"slices"
	"sync"
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/tidegate/tidegate/eventing/catalogue"
)

// Check fails the test if an event is not as the catalogue has it.
func Check(tb testing.TB, e *event.Event) {
	tb.Helper()
	if err := fault(e); err != nil {
		tb.Errorf("event %s %s: %v\n%s", e.Type(), e.ID(), err, e.Data())
	}
}

func fault(e *event.Event) error {
	if err := e.Validate(); err != nil {
		return err
	}
	if _, err := catalogue.ParticipantContextID(e); err != nil {
		return err
	}
	schema, err := schemaOf(e.Type())
	if err != nil {
		return err
	}
	data, err := jsonschema.UnmarshalJSON(bytes.NewReader(e.Data()))
	if err != nil {
		return err
	}
	return schema.Validate(data)
}

func schemaOf(eventType string) (*jsonschema.Schema, error) {
	d, _ := catalogue.Lookup(eventType)
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(d.Schema()))
	if err != nil {
		return nil, err
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource(catalogue.SchemaID(eventType), doc); err != nil {
		return nil, err
	}
	return c.Compile(catalogue.SchemaID(eventType))
}

// Sink records what a function publishes.
type Sink struct {
	mu     sync.Mutex
	events []event.Event
	before func() error
	after  func() error
}

// Fail has every publication ask before it happens, and after it has, whether it fails; either may be nil.
func (s *Sink) Fail(before, after func() error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.before, s.after = before, after
}

// Publish takes an event.
func (s *Sink) Publish(_ context.Context, e *event.Event) error {
	s.mu.Lock()
	before, after := s.before, s.after
	s.mu.Unlock()
	if before != nil {
		if err := before(); err != nil {
			return err
		}
	}
	s.mu.Lock()
	s.events = append(s.events, e.Clone())
	s.mu.Unlock()
	if after != nil {
		return after()
	}
	return nil
}

// Add records an event that went another way, like a reply; nil is none.
func (s *Sink) Add(e *event.Event) {
	if e == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, e.Clone())
}

// Once returns the events of a type, each id once, in the order in which they first came. It checks all of them, and that
// events with the same id say the same.
func (s *Sink) Once(tb testing.TB, eventType string) []event.Event {
	tb.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []event.Event
	for _, e := range s.events {
		if e.Type() != eventType {
			continue
		}
		Check(tb, &e)
		i := slices.IndexFunc(out, func(o event.Event) bool { return o.ID() == e.ID() })
		if i < 0 {
			out = append(out, e)
		} else if !bytes.Equal(out[i].Data(), e.Data()) {
			tb.Errorf("two events have the id %s:\n%s\n%s", e.ID(), out[i].Data(), e.Data())
		}
	}
	return out
}
