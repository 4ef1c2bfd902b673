package catalogue

import (
	"embed"
	"reflect"

	"github.com/cloudevents/sdk-go/v2/event"
)

//go:embed schemas
var schemas embed.FS

// Descriptor says what there is to know of a type of event.
type Descriptor struct {
	Type        string
	Description string
	Subject     string   // what the attribute subject holds; "" = there is none
	Producers   []string // the programs that send it

	data   any
	decode func(*event.Event) (any, error)
}

// SchemaID is the $id of the type's schema and the attribute dataschema of its events.
func SchemaID(eventType string) string { return "urn:tidegate:schema:" + eventType }

// GoType is the struct of the data.
func (d *Descriptor) GoType() reflect.Type { return reflect.TypeOf(d.data) }

// Decode returns the data of an event of the type, as a value of GoType. Unknown members are ignored.
func (d *Descriptor) Decode(e *event.Event) (any, error) { return d.decode(e) }

// Schema returns the JSON Schema (2020-12) of the data.
func (d *Descriptor) Schema() []byte {
	b, err := schemas.ReadFile("schemas/" + d.Type + ".schema.json")
	if err != nil {
		return nil // not generated yet; the test of the catalogue says so
	}
	return b
}

// Lookup returns the descriptor of a type, and whether there is one.
func Lookup(eventType string) (Descriptor, bool) {
	for _, d := range descriptors {
		if d.Type == eventType {
			return d, true
		}
	}
	return Descriptor{}, false
}

// All returns the descriptors of all types, in the order of the job they are part of.
func All() []Descriptor { return append([]Descriptor(nil), descriptors...) }

// and adds a program that sends the type too.
func (d Descriptor) and(producer string) Descriptor {
	d.Producers = append(d.Producers, producer)
	return d
}

// describe makes a descriptor whose data is a T.
func describe[T any](eventType, producer, subject, description string) Descriptor {
	var zero T
	return Descriptor{
		Type: eventType, Description: description, Subject: subject, Producers: []string{producer}, data: zero,
		decode: func(e *event.Event) (any, error) {
			if len(e.Data()) == 0 && reflect.TypeFor[T]() == reflect.TypeFor[Tick]() {
				return zero, nil
			}
			return Data[T](e)
		},
	}
}
