package check

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	sourcesv1 "knative.dev/eventing/pkg/apis/sources/v1"
	duckv1 "knative.dev/pkg/apis/duck/v1"
	servingv1 "knative.dev/serving/pkg/apis/serving/v1"

	"github.com/tidegate/tidegate/eventing/catalogue"
)

// tick is the type of the events of PingSources.
const tick = "dev.knative.sources.ping"

// eventing: events find who they are for. Knative takes a Trigger whose subscriber is not there and retries for ever.
func eventing(s *set) {
	types := []string{tick}
	for _, d := range catalogue.All() {
		types = append(types, d.Type)
	}
	schedules := map[string]bool{}
	for o, p := range of[sourcesv1.PingSource](s) {
		s.destination(o, "spec.sink", &p.Spec.Sink)
		if p.Spec.CloudEventOverrides == nil || p.Spec.CloudEventOverrides.Extensions[catalogue.ExtSchedule] == "" {
			s.fault(o, "spec.ceOverrides.extensions."+catalogue.ExtSchedule, "is missing: no Trigger would know which tick this is")
			continue
		}
		schedules[p.Spec.CloudEventOverrides.Extensions[catalogue.ExtSchedule]] = true
	}
	for o, b := range of[sourcesv1.SinkBinding](s) {
		s.destination(o, "spec.sink", &b.Spec.Sink)
		if s.named(b.Spec.Subject.Kind, b.Spec.Subject.Name) == nil {
			s.fault(o, "spec.subject", "%s %q is not there", b.Spec.Subject.Kind, b.Spec.Subject.Name)
		}
	}
	for o, t := range of[eventingv1.Trigger](s) {
		if find[eventingv1.Broker](s, t.Spec.Broker) == nil {
			s.fault(o, "spec.broker", "Broker %q is not there", t.Spec.Broker)
		}
		s.destination(o, "spec.subscriber", &t.Spec.Subscriber)
		parks := false
		if d := t.Spec.Delivery; d != nil && d.DeadLetterSink != nil {
			s.destination(o, "spec.delivery.deadLetterSink", d.DeadLetterSink)
			parks = true
		}
		ticks := true
		each(t.Spec.Filters, "spec.filters", func(at string, f *eventingv1.SubscriptionsAPIFilter) {
			if typ, ok := f.Exact["type"]; ok {
				if !slices.Contains(types, typ) {
					s.fault(o, at+".exact.type", "%q is not in the catalogue of events", typ)
				}
				ticks = ticks && typ == tick
			}
			if sched, ok := f.Exact[catalogue.ExtSchedule]; ok && !schedules[sched] {
				s.fault(o, at+".exact."+catalogue.ExtSchedule, "no PingSource ticks %q", sched)
			}
		})
		if len(t.Spec.Filters) == 0 {
			s.fault(o, "spec.filters", "is missing: this function would be woken by everything")
		}
		if !parks && !ticks {
			s.fault(o, "spec.delivery.deadLetterSink", "is missing: an event that is given up would be lost")
		}
	}
}

// each visits the filters of a Trigger, those within others too.
func each(list []eventingv1.SubscriptionsAPIFilter, at string, visit func(string, *eventingv1.SubscriptionsAPIFilter)) {
	for i := range list {
		f, at := &list[i], fmt.Sprintf("%s[%d]", at, i)
		visit(at, f)
		each(f.All, at+".all", visit)
		each(f.Any, at+".any", visit)
		if f.Not != nil {
			each([]eventingv1.SubscriptionsAPIFilter{*f.Not}, at+".not", visit)
		}
	}
}

// destination: what is referred to is there.
func (s *set) destination(o *object, field string, d *duckv1.Destination) {
	if d.Ref == nil {
		return // an address: Knative has checked its form
	}
	if d.Ref.Namespace != "" && d.Ref.Namespace != o.GetNamespace() {
		return // somebody else's
	}
	there := false
	switch d.Ref.APIVersion + " " + d.Ref.Kind {
	case "serving.knative.dev/v1 Service":
		there = find[servingv1.Service](s, d.Ref.Name) != nil
	case "v1 Service":
		there = find[corev1.Service](s, d.Ref.Name) != nil
	case "eventing.knative.dev/v1 Broker":
		there = find[eventingv1.Broker](s, d.Ref.Name) != nil
	}
	if !there {
		s.fault(o, field+".ref", "%s %s %q is not there", d.Ref.APIVersion, d.Ref.Kind, d.Ref.Name)
	}
}
