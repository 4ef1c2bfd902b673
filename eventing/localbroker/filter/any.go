package filter

import "github.com/cloudevents/sdk-go/v2/event"

// anyFilter passes when one of its filters passes.
type anyFilter []Filter

func (f anyFilter) Filter(e *event.Event) Result {
	result := None
	for _, sub := range f {
		result = sub.Filter(e)
		if result == Pass {
			return Pass
		}
	}
	return result
}
