package filter

import (
	cesql "github.com/cloudevents/sdk-go/sql/v2"
	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/tidegate/tidegate/eventing/localbroker/manifest"
	"github.com/tidegate/tidegate/shared/problem"
)

// cesqlFilter passes events for which a CloudEvents SQL expression is true. An expression that can't be evaluated for an
// event (a missing attribute, a value of the wrong type) fails it.
type cesqlFilter struct{ expression cesql.Expression }

func newCESQL(text string) (Filter, error) {
	expression, err := manifest.ParseCESQL(text)
	if err != nil {
		return nil, problem.New(problem.Invalid, "cesql %q: %w", text, err)
	}
	return cesqlFilter{expression}, nil
}

func (f cesqlFilter) Filter(e *event.Event) (result Result) {
	defer func() { // functions of the language panic on some values
		if r := recover(); r != nil {
			result = Fail
		}
	}()
	value, err := f.expression.Evaluate(*e)
	if err != nil {
		return Fail
	}
	if b, ok := value.(bool); ok && b {
		return Pass
	}
	return Fail
}
