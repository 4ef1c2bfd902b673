package contract

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/tidegate/tidegate/eventing/catalogue"
)

// Schema makes the JSON Schema of a type's data. A member without omitempty or omitzero is required; members that the struct
// does not have are refused. The struct tag schema adds: nonempty, min=N, enum=A|B, sha256.
func Schema(d *catalogue.Descriptor, c Comments) ([]byte, error) {
	t := d.GoType()
	var s object
	s.set("$schema", "https://json-schema.org/draft/2020-12/schema")
	s.set("$id", catalogue.SchemaID(d.Type))
	s.set("title", t.Name())
	s.set("description", d.Description)
	s.set("type", "object")
	var properties object
	required := []string{}
	for f := range t.Fields() {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" || name == "-" {
			return nil, fmt.Errorf("%s.%s has no JSON name", t.Name(), f.Name)
		}
		p, err := property(f, c[t.Name()+"."+f.Name])
		if err != nil {
			return nil, fmt.Errorf("%s.%s: %w", t.Name(), f.Name, err)
		}
		properties.set(name, p)
		if !strings.Contains(options, "omit") {
			required = append(required, name)
		}
	}
	s.set("properties", properties)
	s.set("required", required)
	s.set("additionalProperties", false)
	return pretty(s)
}

func property(f reflect.StructField, comment string) (object, error) {
	var p object
	if comment != "" {
		p.set("description", comment)
	}
	switch {
	case f.Type == reflect.TypeFor[time.Time]():
		p.set("type", "string")
		p.set("format", "date-time")
	case f.Type.Kind() == reflect.String:
		p.set("type", "string")
	case f.Type.Kind() == reflect.Bool:
		p.set("type", "boolean")
	case f.Type.Kind() == reflect.Int, f.Type.Kind() == reflect.Int64:
		p.set("type", "integer")
	default:
		return nil, fmt.Errorf("no schema for %s", f.Type)
	}
	rule, argument, _ := strings.Cut(f.Tag.Get("schema"), "=")
	switch rule {
	case "":
	case "nonempty":
		p.set("minLength", 1)
	case "min":
		n, err := strconv.ParseInt(argument, 10, 64)
		if err != nil {
			return nil, err
		}
		p.set("minimum", n)
	case "enum":
		p.set("enum", strings.Split(argument, "|"))
	case "sha256":
		p.set("pattern", "^[0-9a-f]{64}$")
	default:
		return nil, fmt.Errorf("no schema rule %q", rule)
	}
	return p, nil
}
