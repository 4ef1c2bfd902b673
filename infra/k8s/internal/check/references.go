package check

import (
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
)

// volumes: what is mounted is a volume, and a volume's ConfigMap or Secret is there with the keys that are asked for.
func volumes(s *set) {
	for _, p := range s.pods() {
		known := map[string]bool{}
		for i := range p.spec.Volumes {
			v, at := &p.spec.Volumes[i], fmt.Sprintf("%s.volumes[%d]", p.at, i)
			known[v.Name] = true
			if c := v.ConfigMap; c != nil {
				s.reference(p.object, at+".configMap", "ConfigMap", c.Name, c.Items, c.Optional)
			}
			if c := v.Secret; c != nil {
				s.reference(p.object, at+".secret", "Secret", c.SecretName, c.Items, c.Optional)
			}
			if v.HostPath != nil {
				s.fault(p.object, at+".hostPath", "is not allowed")
			}
			if v.Projected == nil {
				continue
			}
			for j, src := range v.Projected.Sources {
				at := fmt.Sprintf("%s.projected.sources[%d]", at, j)
				if c := src.ConfigMap; c != nil {
					s.reference(p.object, at+".configMap", "ConfigMap", c.Name, c.Items, c.Optional)
				}
				if c := src.Secret; c != nil {
					s.reference(p.object, at+".secret", "Secret", c.Name, c.Items, c.Optional)
				}
				if t := src.ServiceAccountToken; t != nil && t.Audience == "" {
					s.fault(p.object, at+".serviceAccountToken.audience", "is missing: a token for everybody is one for the Kubernetes API too")
				}
			}
		}
		if d, ok := p.Object.(*appsv1.StatefulSet); ok {
			for _, c := range d.Spec.VolumeClaimTemplates {
				known[c.Name] = true
			}
		}
		for at, c := range p.containers() {
			for i, m := range c.VolumeMounts {
				if !known[m.Name] {
					s.fault(p.object, fmt.Sprintf("%s.volumeMounts[%d].name", at, i), "there is no volume %q", m.Name)
				}
			}
			s.environment(p.object, at, c)
		}
	}
}

// environment: what variables are taken from is there, and none is set twice.
func (s *set) environment(o *object, at string, c *corev1.Container) {
	seen := map[string]bool{}
	for i, e := range c.Env {
		field := fmt.Sprintf("%s.env[%d]", at, i)
		if seen[e.Name] {
			s.fault(o, field, "%s is set twice", e.Name)
		}
		seen[e.Name] = true
		if e.ValueFrom == nil {
			continue
		}
		if r := e.ValueFrom.SecretKeyRef; r != nil {
			s.reference(o, field+".valueFrom.secretKeyRef", "Secret", r.Name, []corev1.KeyToPath{{Key: r.Key}}, r.Optional)
		}
		if r := e.ValueFrom.ConfigMapKeyRef; r != nil {
			s.reference(o, field+".valueFrom.configMapKeyRef", "ConfigMap", r.Name, []corev1.KeyToPath{{Key: r.Key}}, r.Optional)
		}
	}
	for i, e := range c.EnvFrom {
		field := fmt.Sprintf("%s.envFrom[%d]", at, i)
		if r := e.SecretRef; r != nil {
			s.reference(o, field+".secretRef", "Secret", r.Name, nil, r.Optional)
		}
		if r := e.ConfigMapRef; r != nil {
			s.reference(o, field+".configMapRef", "ConfigMap", r.Name, nil, r.Optional)
		}
	}
}

func (s *set) reference(o *object, field, kind, name string, items []corev1.KeyToPath, optional *bool) {
	keys, ok := s.keys(kind, name)
	if !ok {
		if !isTrue(optional) {
			s.fault(o, field, "%s %q is not there", kind, name)
		}
		return
	}
	for _, item := range items {
		if !slices.Contains(keys, item.Key) {
			s.fault(o, field, "%s %q has no key %q", kind, name, item.Key)
		}
	}
}

// keys are the keys of a ConfigMap or Secret, rendered or promised.
func (s *set) keys(kind, name string) (keys []string, ok bool) {
	if kind == "ConfigMap" {
		c := find[corev1.ConfigMap](s, name)
		if c == nil {
			return nil, false
		}
		for k := range c.Data {
			keys = append(keys, k)
		}
		return keys, true
	}
	for _, p := range s.options.Promised {
		if p.Name == name {
			keys, ok = append(keys, p.Keys...), true
		}
	}
	if c := find[corev1.Secret](s, name); c != nil {
		ok = true
		for k := range c.Data {
			keys = append(keys, k)
		}
		for k := range c.StringData {
			keys = append(keys, k)
		}
	}
	return keys, ok
}

// accounts: the account that a pod runs under is there.
func accounts(s *set) {
	for _, p := range s.pods() {
		if name := p.spec.ServiceAccountName; name != "" && name != "default" && find[corev1.ServiceAccount](s, name) == nil {
			s.fault(p.object, p.at+".serviceAccountName", "ServiceAccount %q is not there", name)
		}
	}
}

// minSecret is the length from which a value is taken for a secret when it is looked for elsewhere: shorter ones are names.
const minSecret = 16

// secretsInTheOpen: no private key, no credential, no value of a Secret stands in anything else.
func secretsInTheOpen(s *set) {
	values := map[string]string{}
	for o, c := range of[corev1.Secret](s) {
		for k, v := range c.Data {
			for line := range strings.SplitSeq(string(v), "\n") {
				if _, after, ok := strings.Cut(line, "="); ok && !strings.Contains(line, "://") {
					line = after
				}
				if line = strings.TrimSpace(line); len(line) >= minSecret && !strings.ContainsAny(line, " :/") {
					values[line] = o.GetName() + "/" + k
				}
			}
		}
	}
	for _, o := range s.all {
		if _, ok := o.Object.(*corev1.Secret); ok {
			continue
		}
		text := string(o.raw)
		if strings.Contains(text, "PRIVATE KEY-----") {
			s.fault(o, "data", "holds a private key: it belongs into a Secret")
		}
		for v, where := range values {
			if strings.Contains(text, v) {
				s.fault(o, "data", "holds what is in the Secret %s", where)
			}
		}
		if c, ok := o.Object.(*corev1.ConfigMap); ok {
			for k, v := range c.Data {
				for line := range strings.SplitSeq(v, "\n") {
					if credential.MatchString(line) {
						s.fault(o, "data["+k+"]", "%q holds a credential: it belongs into a Secret, and here the name of its file", strings.TrimSpace(strings.SplitN(line, ":", 2)[0]))
					}
				}
			}
		}
	}
}
