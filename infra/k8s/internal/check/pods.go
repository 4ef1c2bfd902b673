package check

import (
	"fmt"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	servingv1 "knative.dev/serving/pkg/apis/serving/v1"
)

// pod is what an object makes pods of.
type pod struct {
	*object

	spec   *corev1.PodSpec
	labels map[string]string
	at     string // the path of spec
	// knative pods can't have a security context of their own; the container's must say it all.
	knative bool
	job     bool // runs to its end: nobody probes it
}

func (s *set) pods() []pod {
	const template = "spec.template.spec"
	var out []pod
	for o, d := range of[appsv1.Deployment](s) {
		out = append(out, pod{object: o, spec: &d.Spec.Template.Spec, labels: d.Spec.Template.Labels, at: template})
	}
	for o, d := range of[appsv1.StatefulSet](s) {
		out = append(out, pod{object: o, spec: &d.Spec.Template.Spec, labels: d.Spec.Template.Labels, at: template})
	}
	for o, d := range of[batchv1.Job](s) {
		out = append(out, pod{object: o, spec: &d.Spec.Template.Spec, labels: d.Spec.Template.Labels, at: template, job: true})
	}
	for o, d := range of[servingv1.Service](s) {
		out = append(out, pod{object: o, spec: &d.Spec.Template.Spec.PodSpec, labels: d.Spec.Template.Labels, at: template, knative: true})
	}
	return out
}

func (p *pod) containers() map[string]*corev1.Container {
	out := map[string]*corev1.Container{}
	for i := range p.spec.InitContainers {
		out[fmt.Sprintf("%s.initContainers[%d]", p.at, i)] = &p.spec.InitContainers[i]
	}
	for i := range p.spec.Containers {
		out[fmt.Sprintf("%s.containers[%d]", p.at, i)] = &p.spec.Containers[i]
	}
	return out
}

// images must name a version that stays what it is.
func images(s *set) {
	for _, p := range s.pods() {
		for at, c := range p.containers() {
			name := c.Image[strings.LastIndex(c.Image, "/")+1:]
			_, tag, tagged := strings.Cut(name, ":")
			if !tagged && !strings.Contains(c.Image, "@sha256:") && !s.options.Placeholders || tag == "latest" {
				s.fault(p.object, at+".image", "%q has no tag or digest that stays what it is", c.Image)
			}
		}
	}
}

// security demands what the Pod Security Standard "restricted" does, and a root file system that nobody writes.
func security(s *set) {
	for _, p := range s.pods() {
		if a := p.spec.AutomountServiceAccountToken; a == nil || *a {
			s.fault(p.object, p.at+".automountServiceAccountToken", "must be false: nothing here calls the Kubernetes API")
		}
		if p.spec.HostNetwork || p.spec.HostPID || p.spec.HostIPC {
			s.fault(p.object, p.at+".hostNetwork", "hostNetwork, hostPID and hostIPC must not be set")
		}
		whole := p.spec.SecurityContext
		if whole == nil {
			whole = &corev1.PodSecurityContext{}
		}
		for at, c := range p.containers() {
			at += ".securityContext"
			sc := c.SecurityContext
			if sc == nil {
				sc = &corev1.SecurityContext{}
			}
			if !isTrue(sc.RunAsNonRoot) && (sc.RunAsNonRoot != nil || !isTrue(whole.RunAsNonRoot)) {
				s.fault(p.object, at+".runAsNonRoot", "must be true")
			}
			if sc.AllowPrivilegeEscalation == nil || *sc.AllowPrivilegeEscalation {
				s.fault(p.object, at+".allowPrivilegeEscalation", "must be false")
			}
			if !isTrue(sc.ReadOnlyRootFilesystem) {
				s.fault(p.object, at+".readOnlyRootFilesystem", "must be true")
			}
			if sc.Capabilities == nil || len(sc.Capabilities.Add) > 0 || len(sc.Capabilities.Drop) != 1 || sc.Capabilities.Drop[0] != "ALL" {
				s.fault(p.object, at+".capabilities", "must drop ALL and add none")
			}
			if isTrue(sc.Privileged) {
				s.fault(p.object, at+".privileged", "must not be set")
			}
			profile := sc.SeccompProfile
			if profile == nil {
				profile = whole.SeccompProfile
			}
			if profile == nil || profile.Type != corev1.SeccompProfileTypeRuntimeDefault {
				s.fault(p.object, at+".seccompProfile", "must be RuntimeDefault")
			}
		}
	}
}

func isTrue(b *bool) bool { return b != nil && *b }

// probes are there, so that nothing is sent to who can't take it, and nobody hangs for ever.
func probes(s *set) {
	for _, p := range s.pods() {
		if p.job {
			continue
		}
		for i := range p.spec.Containers {
			c, at := &p.spec.Containers[i], fmt.Sprintf("%s.containers[%d]", p.at, i)
			if r := c.ReadinessProbe; r == nil || p.knative && r.HTTPGet == nil { // Knative's own looks whether the port is open
				s.fault(p.object, at+".readinessProbe", "is missing")
			}
			if c.LivenessProbe == nil {
				s.fault(p.object, at+".livenessProbe", "is missing")
			}
		}
	}
}

// resources are asked for and bounded. CPU has no limit on purpose: what is idle anyway may be used.
func resources(s *set) {
	for _, p := range s.pods() {
		for at, c := range p.containers() {
			for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
				if q, ok := c.Resources.Requests[name]; !ok || q.IsZero() {
					s.fault(p.object, at+".resources.requests."+string(name), "is missing")
				}
			}
			limit, ok := c.Resources.Limits[corev1.ResourceMemory]
			if !ok {
				s.fault(p.object, at+".resources.limits.memory", "is missing")
				continue
			}
			if request := c.Resources.Requests[corev1.ResourceMemory]; request.Cmp(limit) > 0 {
				s.fault(p.object, at+".resources.requests.memory", "%s is above the limit of %s", &request, &limit)
			}
		}
	}
}
