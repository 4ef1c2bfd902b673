// Package cataloguetest is for the tests of whoever sends events: it tells whether an event keeps the catalogue's contract.
package cataloguetest

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/tidegate/tidegate/eventing/catalogue"
)

// Check fails the test if the event is not as the catalogue has it; see Validate.
func Check(tb testing.TB, e *event.Event) {
	tb.Helper()
	if err := Validate(e); err != nil {
		tb.Error(err)
	}
}

// Validate tells what is wrong with an event: it is no valid CloudEvent, its type is not in the catalogue, it names no
// participant context or another schema, or its data is not what the schema of its type says.
func Validate(e *event.Event) error {
	if err := e.Validate(); err != nil {
		return fmt.Errorf("%s: %w", e.Type(), err)
	}
	d, ok := catalogue.Lookup(e.Type())
	if !ok {
		return fmt.Errorf("%s is not in the catalogue", e.Type())
	}
	if e.Type() == catalogue.Schedule {
		if s, ok := e.Extensions()[catalogue.ExtSchedule].(string); !ok || s == "" {
			return errors.New("a tick names no schedule")
		}
		return nil
	}
	if _, err := catalogue.ParticipantContextID(e); err != nil {
		return err
	}
	if e.DataSchema() != catalogue.SchemaID(e.Type()) {
		return fmt.Errorf("%s: dataschema is %q, want %q", e.Type(), e.DataSchema(), catalogue.SchemaID(e.Type()))
	}
	schema, err := compile(&d)
	if err != nil {
		return err
	}
	data, err := jsonschema.UnmarshalJSON(bytes.NewReader(e.Data()))
	if err != nil {
		return fmt.Errorf("%s: data is no JSON: %w", e.Type(), err)
	}
	if err := schema.Validate(data); err != nil {
		return fmt.Errorf("%s: %w", e.Type(), err)
	}
	return nil
}

func compile(d *catalogue.Descriptor) (*jsonschema.Schema, error) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(d.Schema()))
	if err != nil {
		return nil, fmt.Errorf("schema of %s: %w", d.Type, err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource(catalogue.SchemaID(d.Type), doc); err != nil {
		return nil, fmt.Errorf("schema of %s: %w", d.Type, err)
	}
	return c.Compile(catalogue.SchemaID(d.Type))
}
