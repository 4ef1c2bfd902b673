package manifest

import (
	"errors"
	"fmt"
	"regexp"

	cesql "github.com/cloudevents/sdk-go/sql/v2"
	"github.com/cloudevents/sdk-go/sql/v2/parser"
)

// maxFilterDepth bounds the nesting of all, any and not.
const maxFilterDepth = 16

var (
	attributeName = regexp.MustCompile(`^[a-z][a-z0-9]*$`)

	errSchedule = errors.New("is no schedule")
	errCESQL    = errors.New("is no CloudEvents SQL expression")
)

// attributes checks names as Knative does. Values may be empty only in the older filter, where "" matches any value.
func (d *document) attributes(field string, m map[string]string, emptyValues bool) error {
	for name, value := range m {
		if !attributeName.MatchString(name) {
			return d.fault(field, "%q is no attribute name; expected lower-case letters and digits, a letter first", name)
		}
		if value == "" && !emptyValues {
			return d.fault(field+"."+name, "must not be empty")
		}
	}
	return nil
}

func (d *document) filters(field string, list []Filter) error {
	for i := range list {
		if err := d.filter(fmt.Sprintf("%s[%d]", field, i), &list[i], 0); err != nil {
			return err
		}
	}
	return nil
}

func (d *document) filter(field string, f *Filter, depth int) error {
	if depth > maxFilterDepth {
		return d.fault(field, "is nested more than %d levels deep", maxFilterDepth)
	}
	if n := f.dialects(); n > 1 {
		return d.fault(field, "has %d dialects; expected one of exact, prefix, suffix, all, any, not, cesql", n)
	}
	for name, m := range map[string]map[string]string{"exact": f.Exact, "prefix": f.Prefix, "suffix": f.Suffix} {
		if err := d.attributes(field+"."+name, m, false); err != nil {
			return err
		}
	}
	for name, list := range map[string][]Filter{"all": f.All, "any": f.Any} {
		for i := range list {
			if err := d.filter(fmt.Sprintf("%s.%s[%d]", field, name, i), &list[i], depth+1); err != nil {
				return err
			}
		}
	}
	if f.Not != nil {
		if err := d.filter(field+".not", f.Not, depth+1); err != nil {
			return err
		}
	}
	if f.CESQL != "" {
		if _, err := ParseCESQL(f.CESQL); err != nil {
			return d.fault(field+".cesql", "%v", err)
		}
	}
	return nil
}

func (f *Filter) dialects() int {
	n := 0
	for _, set := range []bool{len(f.Exact) > 0, len(f.Prefix) > 0, len(f.Suffix) > 0, len(f.All) > 0, len(f.Any) > 0, f.Not != nil, f.CESQL != ""} {
		if set {
			n++
		}
	}
	return n
}

// ParseCESQL parses a CloudEvents SQL expression. It survives the parser's panics, of which Knative knows too.
func ParseCESQL(s string) (expression cesql.Expression, err error) {
	defer func() {
		if r := recover(); r != nil {
			expression, err = nil, errCESQL
		}
	}()
	return parser.Parse(s)
}
