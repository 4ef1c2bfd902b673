package filter

import "github.com/cloudevents/sdk-go/v2/event"

// notFilter turns its filter around. An event that lacks the attribute fails the inner filter and thus passes.
type notFilter struct{ inner Filter }

func (f notFilter) Filter(e *event.Event) Result {
	switch f.inner.Filter(e) {
	case Pass:
		return Fail
	case Fail:
		return Pass
	case None:
	}
	return None
}
