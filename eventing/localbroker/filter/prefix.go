package filter

import (
	"strings"

	"github.com/cloudevents/sdk-go/v2/event"
)

// prefixFilter passes events whose attributes begin with the values.
type prefixFilter map[string]string

func (f prefixFilter) Filter(e *event.Event) Result {
	for name, want := range f {
		if got, ok := attribute(e, name); !ok || !strings.HasPrefix(got, want) {
			return Fail
		}
	}
	return Pass
}
