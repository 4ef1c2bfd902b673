package filter_test

import (
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/tidegate/tidegate/eventing/localbroker/filter"
	"github.com/tidegate/tidegate/eventing/localbroker/manifest"
)

func sample() *event.Event {
	e := event.New()
	e.SetID("1")
	e.SetType("io.tidegate.object.created.v1")
	e.SetSource("/tidegate/bucket-events/acme")
	e.SetSubject("outbox/a.csv")
	e.SetTime(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	e.SetExtension("participantcontextid", "acme")
	e.SetExtension("count", 3)
	e.SetDataContentType("application/json")
	return &e
}

type m = map[string]string

func TestTriggersWantWhatTheirFiltersSay(t *testing.T) {
	exact := func(name, value string) manifest.Filter { return manifest.Filter{Exact: m{name: value}} }
	right, wrong := exact("type", "io.tidegate.object.created.v1"), exact("type", "io.tidegate.object.created")
	tests := map[string]struct {
		trigger manifest.Trigger
		want    bool
	}{
		"no filter at all":                        {manifest.Trigger{}, true},
		"exact, equal":                            {manifest.Trigger{Filters: []manifest.Filter{right}}, true},
		"exact, only the beginning":               {manifest.Trigger{Filters: []manifest.Filter{wrong}}, false},
		"exact on an extension":                   {manifest.Trigger{Filters: []manifest.Filter{exact("participantcontextid", "acme")}}, true},
		"exact on a number as text":               {manifest.Trigger{Filters: []manifest.Filter{exact("count", "3")}}, true},
		"exact on an attribute that is not there": {manifest.Trigger{Filters: []manifest.Filter{exact("schedule", "sweep")}}, false},
		"exact, one of two attributes differs": {manifest.Trigger{Filters: []manifest.Filter{
			{Exact: m{"type": "io.tidegate.object.created.v1", "participantcontextid": "globex"}},
		}}, false},
		"exact on time":                     {manifest.Trigger{Filters: []manifest.Filter{exact("time", "2026-01-02T03:04:05Z")}}, true},
		"prefix":                            {manifest.Trigger{Filters: []manifest.Filter{{Prefix: m{"type": "io.tidegate.object."}}}}, true},
		"prefix of another":                 {manifest.Trigger{Filters: []manifest.Filter{{Prefix: m{"type": "io.tidegate.dataset."}}}}, false},
		"prefix on what is not there":       {manifest.Trigger{Filters: []manifest.Filter{{Prefix: m{"schedule": "s"}}}}, false},
		"suffix":                            {manifest.Trigger{Filters: []manifest.Filter{{Suffix: m{"subject": ".csv"}}}}, true},
		"suffix of another":                 {manifest.Trigger{Filters: []manifest.Filter{{Suffix: m{"subject": ".txt"}}}}, false},
		"several filters must all pass":     {manifest.Trigger{Filters: []manifest.Filter{right, wrong}}, false},
		"all, one fails":                    {manifest.Trigger{Filters: []manifest.Filter{{All: []manifest.Filter{right, wrong}}}}, false},
		"all pass":                          {manifest.Trigger{Filters: []manifest.Filter{{All: []manifest.Filter{right, right}}}}, true},
		"any, one passes":                   {manifest.Trigger{Filters: []manifest.Filter{{Any: []manifest.Filter{wrong, right}}}}, true},
		"any, none passes":                  {manifest.Trigger{Filters: []manifest.Filter{{Any: []manifest.Filter{wrong, wrong}}}}, false},
		"not a pass":                        {manifest.Trigger{Filters: []manifest.Filter{{Not: &right}}}, false},
		"not a fail":                        {manifest.Trigger{Filters: []manifest.Filter{{Not: &wrong}}}, true},
		"not of what is not there":          {manifest.Trigger{Filters: []manifest.Filter{{Not: &manifest.Filter{Exact: m{"flowrole": "PROVIDER"}}}}}, true},
		"not of an empty filter":            {manifest.Trigger{Filters: []manifest.Filter{{Not: &manifest.Filter{}}}}, true},
		"cesql, true":                       {manifest.Trigger{Filters: []manifest.Filter{{CESQL: "type LIKE 'io.tidegate.object.%' AND count > 2"}}}, true},
		"cesql, false":                      {manifest.Trigger{Filters: []manifest.Filter{{CESQL: "subject = 'x'"}}}, false},
		"cesql on what is not there":        {manifest.Trigger{Filters: []manifest.Filter{{CESQL: "schedule = 'sweep'"}}}, false},
		"cesql that is no truth":            {manifest.Trigger{Filters: []manifest.Filter{{CESQL: "count + 1"}}}, false},
		"cesql, exists":                     {manifest.Trigger{Filters: []manifest.Filter{{CESQL: "EXISTS schedule"}}}, false},
		"attributes":                        {manifest.Trigger{Attributes: m{"type": "io.tidegate.object.created.v1"}}, true},
		"attributes, another":               {manifest.Trigger{Attributes: m{"type": "x"}}, false},
		"attributes, any value":             {manifest.Trigger{Attributes: m{"subject": ""}}, true},
		"attributes, any value, none there": {manifest.Trigger{Attributes: m{"schedule": ""}}, false},
		"attributes, any value, empty":      {manifest.Trigger{Attributes: m{"dataschema": ""}}, false},
		"filters win over attributes":       {manifest.Trigger{Attributes: m{"type": "x"}, Filters: []manifest.Filter{right}}, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			f, err := filter.ForTrigger(&tt.trigger)
			if err != nil {
				t.Fatal(err)
			}
			if got := filter.Matches(f, sample()); got != tt.want {
				t.Errorf("wanted: %v, want %v", got, tt.want)
			}
		})
	}
}

func TestACESQLExpressionThatDoesNotParseIsRefused(t *testing.T) {
	if _, err := filter.ForTrigger(&manifest.Trigger{Filters: []manifest.Filter{{CESQL: "type = = 'a'"}}}); err == nil {
		t.Error("it is taken")
	}
}

func BenchmarkFilter(b *testing.B) {
	f, err := filter.ForTrigger(&manifest.Trigger{Filters: []manifest.Filter{
		{Any: []manifest.Filter{{Exact: m{"type": "a"}}, {Exact: m{"type": "io.tidegate.object.created.v1"}}}}, {Not: &manifest.Filter{Exact: m{"flowrole": "PROVIDER"}}},
	}})
	if err != nil {
		b.Fatal(err)
	}
	e := sample()
	for b.Loop() {
		filter.Matches(f, e)
	}
}
