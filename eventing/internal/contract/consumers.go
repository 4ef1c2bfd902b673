package contract

import (
	"slices"

	"github.com/tidegate/tidegate/eventing/catalogue"
	"github.com/tidegate/tidegate/eventing/localbroker/filter"
	"github.com/tidegate/tidegate/eventing/localbroker/manifest"
)

// Consumers returns the Services whose Triggers want events of each type, sorted.
func Consumers(set *manifest.Set) (map[string][]string, error) {
	out := map[string][]string{}
	for i := range set.Triggers {
		t := &set.Triggers[i]
		f, err := filter.ForTrigger(t)
		if err != nil {
			return nil, err
		}
		for _, d := range catalogue.All() {
			wants, err := wantsAny(f, &d)
			if err != nil {
				return nil, err
			}
			if wants && !slices.Contains(out[d.Type], t.Subscriber.Service) {
				out[d.Type] = append(out[d.Type], t.Subscriber.Service)
			}
		}
	}
	for _, services := range out {
		slices.Sort(services)
	}
	return out, nil
}

// wantsAny tells whether the filter wants the sample, or one like it for another schedule or of the other side of a push.
func wantsAny(f filter.Filter, d *catalogue.Descriptor) (bool, error) {
	e, err := Sample(d)
	if err != nil {
		return false, err
	}
	if d.Type != catalogue.Schedule {
		if filter.Matches(f, e) {
			return true, nil
		}
		e.SetExtension(catalogue.ExtFlowRole, "PROVIDER")
		e.SetExtension(catalogue.ExtFlowDirection, "PUSH")
		return filter.Matches(f, e), nil
	}
	for _, schedule := range []string{catalogue.ScheduleSweep, catalogue.ScheduleReconcile, catalogue.ScheduleSupply} {
		e.SetExtension(catalogue.ExtSchedule, schedule)
		if filter.Matches(f, e) {
			return true, nil
		}
	}
	return false, nil
}
