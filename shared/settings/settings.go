// Package settings reads the environment of a program into a struct, as all programs of Tidegate do: once, at the start, and with all
// faults in one error, since who mends a Deployment wants to do it once. A value is shown in a fault only where its type says that it
// can't be a secret.
package settings

import (
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"

	"github.com/tidegate/tidegate/shared/problem"
)

// Load reads T by its env tags from an environment of NAME=value, as os.Environ returns it. All faults come back together, as one
// error with a line for each that names the variable and what is expected there (the tag expect, if a field has one). If *T has a method
// Validate() error it is called too; its error may be several, joined, each a problem.Field with the variable's name as its field.
func Load[T any](environ []string) (T, error) {
	values := env.ToMap(environ)
	var cfg T
	fields := map[string]variable{}
	variables(reflect.TypeFor[T](), "", fields)
	var faults []fault
	if err := env.ParseWithOptions(&cfg, env.Options{Environment: values}); err != nil {
		for _, e := range flatten(err) {
			faults = append(faults, environmentFault(e, fields, values))
		}
	}
	if v, ok := any(&cfg).(interface{ Validate() error }); ok {
		for _, e := range flatten(v.Validate()) {
			f := validationFault(e)
			if f.name == "" || !named(faults, f.name) { // what could not be read is not judged as well
				faults = append(faults, f)
			}
		}
	}
	switch len(faults) {
	case 0:
		return cfg, nil
	case 1:
		return cfg, problem.New(problem.Invalid, "the environment is not usable: %s", faults[0])
	}
	var b strings.Builder
	fmt.Fprintf(&b, "the environment is not usable, %d faults:", len(faults))
	for _, f := range faults {
		b.WriteString("\n  " + f.String())
	}
	return cfg, problem.New(problem.Invalid, "%s", b.String())
}

type fault struct{ name, text string }

func (f fault) String() string {
	if f.name == "" {
		return f.text
	}
	return f.name + ": " + f.text
}

func named(faults []fault, name string) bool {
	for _, f := range faults {
		if f.name == name {
			return true
		}
	}
	return false
}

// variable is what a field's tags say of its environment variable.
type variable struct {
	name   string
	expect string
}

// variables collects the variables of a struct and of the structs in it, by the field's name and by the variable's name.
func variables(t reflect.Type, prefix string, into map[string]variable) {
	if t.Kind() != reflect.Struct {
		return
	}
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("env"), ",")
		if name == "" {
			variables(f.Type, prefix+f.Tag.Get("envPrefix"), into)
			continue
		}
		v := variable{name: prefix + name, expect: f.Tag.Get("expect")}
		if v.expect == "" {
			v.expect = expected(f.Type)
		}
		into[f.Name], into[v.name] = v, v
	}
}

func expected(t reflect.Type) string {
	if t == reflect.TypeFor[time.Duration]() {
		return "a duration like 30s or 5m"
	}
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return "a whole number"
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "a whole number, not negative"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Slice:
		return "values separated by commas"
	default:
		return "a value"
	}
}

func environmentFault(err error, fields map[string]variable, values map[string]string) fault {
	if e, ok := errors.AsType[env.VarIsNotSetError](err); ok {
		return fault{e.Key, "is not set: expected " + fields[e.Key].expect}
	}
	if e, ok := errors.AsType[env.EmptyVarError](err); ok {
		return fault{e.Key, "is empty: expected " + fields[e.Key].expect}
	}
	if e, ok := errors.AsType[env.ParseError](err); ok {
		v, known := fields[e.Name]
		if !known {
			return fault{"", err.Error()}
		}
		// The value is shown only where its type says that it can't be a secret.
		if k := e.Type.Kind(); k >= reflect.Bool && k <= reflect.Float64 {
			return fault{v.name, strconv.Quote(values[v.name]) + " is not " + v.expect}
		}
		return fault{v.name, "can't be read: expected " + v.expect}
	}
	return fault{"", err.Error()}
}

func validationFault(err error) fault {
	if e, ok := errors.AsType[*problem.Error](err); ok && e.Field != "" {
		return fault{e.Field, e.Message}
	}
	return fault{"", err.Error()}
}

// flatten returns the errors that were joined into err.
func flatten(err error) []error {
	if err == nil {
		return nil
	}
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		var all []error
		for _, e := range many.Unwrap() {
			all = append(all, flatten(e)...)
		}
		return all
	}
	return []error{err}
}
