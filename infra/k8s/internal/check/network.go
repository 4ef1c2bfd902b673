package check

import (
	"fmt"
	"net/url"
	"strings"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	servingv1 "knative.dev/serving/pkg/apis/serving/v1"
)

// services lead somewhere: to pods that are there, and to a port that these have.
func services(s *set) {
	for o, svc := range of[corev1.Service](s) {
		if len(svc.Spec.Selector) == 0 {
			continue
		}
		target := s.selected(labels.SelectorFromSet(svc.Spec.Selector))
		if target == nil {
			s.fault(o, "spec.selector", "no pod has these labels")
			continue
		}
		for i, port := range svc.Spec.Ports {
			if !hasPort(target, port) {
				s.fault(o, fmt.Sprintf("spec.ports[%d].targetPort", i), "%s has no port %s", target, port.TargetPort.String())
			}
		}
	}
}

func (s *set) selected(selector labels.Selector) *pod {
	for _, p := range s.pods() {
		if selector.Matches(labels.Set(p.labels)) {
			return &p
		}
	}
	return nil
}

func hasPort(p *pod, port corev1.ServicePort) bool {
	for _, c := range p.containers() {
		for _, cp := range c.Ports {
			if cp.Name == port.TargetPort.StrVal && cp.Name != "" || cp.ContainerPort == port.TargetPort.IntVal ||
				port.TargetPort.IntVal == 0 && port.TargetPort.StrVal == "" && cp.ContainerPort == port.Port {
				return true
			}
		}
	}
	return false
}

// Where the ingresses of Brokers are, and what classes of Broker they serve.
var ingresses = map[string]string{
	"broker-ingress.knative-eventing.svc.cluster.local":       "MTChannelBasedBroker",
	"kafka-broker-ingress.knative-eventing.svc.cluster.local": "Kafka",
}

const brokerClass = "eventing.knative.dev/broker.class"

// addresses: a URL in the environment that names something inside the cluster names something that is there.
func addresses(s *set) {
	for _, p := range s.pods() {
		for at, c := range p.containers() {
			for i, e := range c.Env {
				u, err := url.Parse(strings.ReplaceAll(e.Value, "{line}", "")) // those that tenants share
				if err != nil || !strings.HasSuffix(u.Hostname(), ".svc.cluster.local") {
					continue
				}
				field := fmt.Sprintf("%s.env[%d].value", at, i)
				if class, ok := ingresses[u.Host]; ok {
					s.broker(p.object, field, e.Name, u.Path, class)
					continue
				}
				parts := strings.Split(u.Hostname(), ".")
				if parts[1] != p.GetNamespace() {
					continue // somebody else's
				}
				svc := find[corev1.Service](s, parts[0])
				if svc == nil && find[servingv1.Service](s, parts[0]) == nil {
					s.fault(p.object, field, "%s: there is no Service %q", e.Name, parts[0])
				}
				if svc != nil && !listens(svc, u.Port()) {
					s.fault(p.object, field, "%s: Service %q does not listen on port %s", e.Name, parts[0], u.Port())
				}
			}
		}
	}
}

func (s *set) broker(o *object, field, variable, at, class string) {
	namespace, name, _ := strings.Cut(strings.Trim(at, "/"), "/")
	for bo, b := range of[eventingv1.Broker](s) {
		if bo.GetNamespace() == namespace && bo.GetName() == name {
			if got := b.Annotations[brokerClass]; got != "" && got != class {
				s.fault(o, field, "%s: Broker %q is of class %s, and this address serves %s", variable, name, got, class)
			}
			return
		}
	}
	s.fault(o, field, "%s: there is no Broker %q in namespace %q", variable, name, namespace)
}

func listens(svc *corev1.Service, port string) bool {
	if port == "" {
		port = "80"
	}
	for _, p := range svc.Spec.Ports {
		if fmt.Sprint(p.Port) == port {
			return true
		}
	}
	return false
}

// locality: no function has a route from outside the cluster.
func locality(s *set) {
	for o := range of[servingv1.Service](s) {
		if o.GetLabels()["networking.knative.dev/visibility"] != "cluster-local" {
			s.fault(o, "metadata.labels[networking.knative.dev/visibility]", "must be cluster-local: functions are called from inside only")
		}
	}
}

// autoscaling: what is scaled is there, and its number is not set by two.
func autoscaling(s *set) {
	for o, h := range of[autoscalingv2.HorizontalPodAutoscaler](s) {
		ref := h.Spec.ScaleTargetRef
		target := s.named(ref.Kind, ref.Name)
		if target == nil {
			s.fault(o, "spec.scaleTargetRef", "%s %q is not there", ref.Kind, ref.Name)
			continue
		}
		if strings.Contains(string(target.raw), `"replicas":`) {
			s.fault(target, "spec.replicas", "is set beside an autoscaler: each apply would put it back")
		}
		if h.Spec.MinReplicas != nil && *h.Spec.MinReplicas > h.Spec.MaxReplicas {
			s.fault(o, "spec.minReplicas", "is above maxReplicas")
		}
	}
}

func (s *set) named(kind, name string) *object {
	for _, o := range s.all {
		if o.kind == kind && o.GetName() == name {
			return o
		}
	}
	return nil
}

// policies select pods that are there. A set with network policies has one for every pod: what is forgotten is closed, not open.
func policies(s *set) {
	all := of[networkingv1.NetworkPolicy](s)
	for o, n := range all {
		if sel := selector(&n.Spec.PodSelector); sel != nil && !sel.Empty() && s.selected(sel) == nil && !knativePods(&n.Spec.PodSelector) {
			s.fault(o, "spec.podSelector", "no pod has these labels")
		}
	}
	for o, b := range of[policyv1.PodDisruptionBudget](s) {
		if sel := selector(b.Spec.Selector); sel == nil || s.selected(sel) == nil {
			s.fault(o, "spec.selector", "no pod has these labels")
		}
	}
	if len(all) == 0 {
		return
	}
	for o, n := range all {
		if sel := selector(&n.Spec.PodSelector); sel != nil && sel.Empty() && len(n.Spec.Ingress) == 0 && len(n.Spec.Egress) == 0 && len(n.Spec.PolicyTypes) == 2 {
			_ = o
			return
		}
	}
	for o := range all {
		s.fault(o, "spec", "no policy closes what the others leave open: one for all pods, both directions, without a rule is expected")
		return
	}
}

func selector(l *metav1.LabelSelector) labels.Selector {
	if l == nil {
		return nil
	}
	sel, err := metav1.LabelSelectorAsSelector(l)
	if err != nil {
		return nil
	}
	return sel
}

// knativePods tells that a selector goes by labels that Knative sets itself.
func knativePods(l *metav1.LabelSelector) bool {
	for k := range l.MatchLabels {
		if strings.HasPrefix(k, "serving.knative.dev/") {
			return true
		}
	}
	for _, e := range l.MatchExpressions {
		if strings.HasPrefix(e.Key, "serving.knative.dev/") {
			return true
		}
	}
	return false
}
