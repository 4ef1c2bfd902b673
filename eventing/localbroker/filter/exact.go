package filter

import "github.com/cloudevents/sdk-go/v2/event"

// exactFilter passes events that have each attribute with exactly this value.
type exactFilter map[string]string

func (f exactFilter) Filter(e *event.Event) Result {
	for name, want := range f {
		if got, ok := attribute(e, name); !ok || got != want {
			return Fail
		}
	}
	return Pass
}
