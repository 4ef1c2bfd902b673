package filter

import "github.com/cloudevents/sdk-go/v2/event"

// allFilter fails when one of its filters fails.
type allFilter []Filter

func (f allFilter) Filter(e *event.Event) Result {
	result := None
	for _, sub := range f {
		result = sub.Filter(e)
		if result == Fail {
			return Fail
		}
	}
	return result
}
