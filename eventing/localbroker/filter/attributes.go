package filter

import "github.com/cloudevents/sdk-go/v2/event"

// attributesFilter is the older spec.filter.attributes: exact values, where "" stands for any value. Without attributes it
// has nothing to say.
type attributesFilter map[string]string

func (f attributesFilter) Filter(e *event.Event) Result {
	if len(f) == 0 {
		return None
	}
	for name, want := range f {
		got, ok := attribute(e, name)
		if !ok || (want == "" && got == "") || (want != "" && got != want) {
			return Fail
		}
	}
	return Pass
}
