package check

import (
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	servingv1 "knative.dev/serving/pkg/apis/serving/v1"

	"github.com/tidegate/tidegate/eventing/localbroker/manifest"
)

// The defaults of the programs, where a manifest does not set them.
const (
	defaultDeadline  = 55 * time.Second // EVENT_DEADLINE
	defaultSlice     = 20 * time.Second // SLICE_TIME
	defaultDrain     = 4 * time.Second  // DRAIN_TIME
	defaultEventWait = 75 * time.Second // EVENT_WAIT
	defaultDataWait  = 30 * time.Second // DATA_WAIT
	farewell         = time.Second      // what a function takes beyond its drain time
)

// timeLimits: each limit is below the one that would cut it short.
//
//	slice < event deadline < the revision's time-out ≤ the Trigger's timeout < the outbox's patience
//	drain time + farewell ≤ what the pod is given to end
//
// Knative gives a pod the revision's time-out to end.
func timeLimits(s *set) {
	timeouts := s.triggerTimeouts()
	for o, svc := range of[servingv1.Service](s) {
		spec := &svc.Spec.Template.Spec
		if spec.TimeoutSeconds == nil || len(spec.Containers) != 1 {
			s.fault(o, "spec.template.spec.timeoutSeconds", "is missing")
			continue
		}
		c := &spec.Containers[0]
		revision := time.Duration(*spec.TimeoutSeconds) * time.Second
		deadline := s.duration(o, c, "EVENT_DEADLINE", defaultDeadline)
		if deadline >= revision {
			s.fault(o, envField(c, "EVENT_DEADLINE"), "EVENT_DEADLINE is %v, the revision's time-out %v: Knative would cut the handler off before it can answer", deadline, revision)
		}
		if name := o.GetName(); sliced(name) {
			if slice := s.duration(o, c, "SLICE_TIME", defaultSlice); slice >= deadline {
				s.fault(o, envField(c, "SLICE_TIME"), "SLICE_TIME is %v, EVENT_DEADLINE %v: a slice must end before it is ended", slice, deadline)
			}
		}
		if drain := s.duration(o, c, "DRAIN_TIME", defaultDrain); drain+farewell > revision {
			s.fault(o, envField(c, "DRAIN_TIME"), "DRAIN_TIME is %v, and Knative gives the pod %v to end (the revision's time-out)", drain, revision)
		}
		if t, ok := timeouts[o.GetName()]; ok && revision > t {
			s.fault(o, "spec.template.spec.timeoutSeconds", "is %v, a Trigger's timeout %v: the broker would send again what is still being handled", revision, t)
		}
	}
	for o, d := range of[appsv1.Deployment](s) {
		if o.GetName() == "dps-gateway" && len(d.Spec.Template.Spec.Containers) > 0 {
			s.gatewayLimits(o, &d.Spec.Template.Spec, timeouts)
		}
	}
}

func (s *set) gatewayLimits(o *object, spec *corev1.PodSpec, timeouts map[string]time.Duration) {
	c := &spec.Containers[0]
	grace := 30 * time.Second
	if spec.TerminationGracePeriodSeconds != nil {
		grace = time.Duration(*spec.TerminationGracePeriodSeconds) * time.Second
	}
	var pause time.Duration
	if c.Lifecycle != nil && c.Lifecycle.PreStop != nil && c.Lifecycle.PreStop.Sleep != nil {
		pause = time.Duration(c.Lifecycle.PreStop.Sleep.Seconds) * time.Second
	}
	if pause == 0 {
		s.fault(o, "spec.template.spec.containers[0].lifecycle.preStop.sleep", "is missing: calls would still be sent to listeners that are closed")
	}
	if drain := s.duration(o, c, "DRAIN_TIME", defaultDrain); pause+drain+farewell > grace {
		s.fault(o, "spec.template.spec.terminationGracePeriodSeconds", "is %v; the pause before the end (%v) and DRAIN_TIME (%v) need more", grace, pause, drain)
	}
	patience := s.duration(o, c, "EVENT_WAIT", defaultEventWait)
	var longest time.Duration
	for _, t := range timeouts {
		longest = max(longest, t)
	}
	if patience <= longest {
		s.fault(o, envField(c, "EVENT_WAIT"), "EVENT_WAIT is %v, the longest timeout of a Trigger %v: an in-memory broker answers after its subscribers", patience, longest)
	}
	if data := find[servingv1.Service](s, "data-server"); data != nil && data.Spec.Template.Spec.TimeoutSeconds != nil {
		if wait, t := s.duration(o, c, "DATA_WAIT", defaultDataWait), time.Duration(*data.Spec.Template.Spec.TimeoutSeconds)*time.Second; wait > t {
			s.fault(o, envField(c, "DATA_WAIT"), "DATA_WAIT is %v, the time-out of data-server %v", wait, t)
		}
	}
}

// sliced tells which functions work in slices.
func sliced(name string) bool {
	return len(name) >= len("transfer-") && name[:len("transfer-")] == "transfer-"
}

// triggerTimeouts are the shortest timeouts of the Triggers of each subscriber.
func (s *set) triggerTimeouts() map[string]time.Duration {
	out := map[string]time.Duration{}
	for o, t := range of[eventingv1.Trigger](s) {
		if t.Spec.Subscriber.Ref == nil {
			continue
		}
		name := t.Spec.Subscriber.Ref.Name
		if t.Spec.Delivery == nil || t.Spec.Delivery.Timeout == nil {
			s.fault(o, "spec.delivery.timeout", "is missing: the broker's own may be shorter than a handler's")
			continue
		}
		d, err := manifest.ParseDuration(*t.Spec.Delivery.Timeout)
		if err != nil {
			continue // Knative's validation has said so
		}
		if have, ok := out[name]; !ok || d < have {
			out[name] = d
		}
	}
	return out
}

// duration is the value of a variable.
func (s *set) duration(o *object, c *corev1.Container, name string, otherwise time.Duration) time.Duration {
	for _, e := range c.Env {
		if e.Name != name {
			continue
		}
		d, err := time.ParseDuration(e.Value)
		if err != nil {
			s.fault(o, envField(c, name), "%s is %q: a duration like 30s is expected", name, e.Value)
			return otherwise
		}
		return d
	}
	return otherwise
}

func envField(c *corev1.Container, name string) string {
	for i, e := range c.Env {
		if e.Name == name {
			return fmt.Sprintf("spec.template.spec.containers[0].env[%d]", i)
		}
	}
	return "spec.template.spec.containers[0].env"
}
