package filter

import (
	"strings"

	"github.com/cloudevents/sdk-go/v2/event"
)

// suffixFilter passes events whose attributes end with the values.
type suffixFilter map[string]string

func (f suffixFilter) Filter(e *event.Event) Result {
	for name, want := range f {
		if got, ok := attribute(e, name); !ok || !strings.HasSuffix(got, want) {
			return Fail
		}
	}
	return Pass
}
