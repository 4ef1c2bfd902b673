package check

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"knative.dev/eventing/pkg/apis/config"
	eventingv1 "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/eventing/pkg/apis/feature"
	sourcesv1 "knative.dev/eventing/pkg/apis/sources/v1"
	"knative.dev/pkg/apis"
	duckv1 "knative.dev/pkg/apis/duck/v1"
	servingv1 "knative.dev/serving/pkg/apis/serving/v1"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// kinds are the kinds that manifests of ours may have, by "apiVersion kind".
var kinds = map[string]func() metav1.Object{
	"v1 Namespace":                            func() metav1.Object { return &corev1.Namespace{} },
	"v1 ServiceAccount":                       func() metav1.Object { return &corev1.ServiceAccount{} },
	"v1 ConfigMap":                            func() metav1.Object { return &corev1.ConfigMap{} },
	"v1 Secret":                               func() metav1.Object { return &corev1.Secret{} },
	"v1 Service":                              func() metav1.Object { return &corev1.Service{} },
	"v1 PersistentVolumeClaim":                func() metav1.Object { return &corev1.PersistentVolumeClaim{} },
	"apps/v1 Deployment":                      func() metav1.Object { return &appsv1.Deployment{} },
	"apps/v1 StatefulSet":                     func() metav1.Object { return &appsv1.StatefulSet{} },
	"batch/v1 Job":                            func() metav1.Object { return &batchv1.Job{} },
	"autoscaling/v2 HorizontalPodAutoscaler":  func() metav1.Object { return &autoscalingv2.HorizontalPodAutoscaler{} },
	"policy/v1 PodDisruptionBudget":           func() metav1.Object { return &policyv1.PodDisruptionBudget{} },
	"networking.k8s.io/v1 NetworkPolicy":      func() metav1.Object { return &networkingv1.NetworkPolicy{} },
	"serving.knative.dev/v1 Service":          func() metav1.Object { return &servingv1.Service{} },
	"eventing.knative.dev/v1 Broker":          func() metav1.Object { return &eventingv1.Broker{} },
	"eventing.knative.dev/v1 Trigger":         func() metav1.Object { return &eventingv1.Trigger{} },
	"sources.knative.dev/v1 PingSource":       func() metav1.Object { return &sourcesv1.PingSource{} },
	"sources.knative.dev/v1 SinkBinding":      func() metav1.Object { return &sourcesv1.SinkBinding{} },
	"monitoring.coreos.com/v1 PrometheusRule": func() metav1.Object { return &metav1.PartialObjectMetadata{} },
	"monitoring.coreos.com/v1 PodMonitor":     func() metav1.Object { return &metav1.PartialObjectMetadata{} },
}

// foreign are the groups whose types are not known here: of their objects only the metadata is looked at.
const foreign = "monitoring.coreos.com/"

// object is a manifest, decoded.
type object struct {
	metav1.Object

	apiVersion, kind string
	raw              []byte // JSON
}

func (o *object) String() string {
	kind := o.kind
	if o.apiVersion == "serving.knative.dev/v1" {
		kind = "knative " + kind // there is another Service
	}
	return kind + "/" + o.GetName()
}

type set struct {
	options Options
	all     []*object
	faults  []Fault
}

// of returns the objects of a type, with the object that each is part of.
func of[T any](s *set) map[*object]*T {
	out := map[*object]*T{}
	for _, o := range s.all {
		if v, ok := o.Object.(any).(*T); ok {
			out[o] = v
		}
	}
	return out
}

// find returns an object of a type by its name; nil if there is none.
func find[T any](s *set, name string) *T {
	for o, v := range of[T](s) {
		if o.GetName() == name {
			return v
		}
	}
	return nil
}

// parse decodes a stream strictly, applies the defaults of Knative's webhooks and asks their validation.
func parse(stream []byte) *set {
	s := &set{}
	docs := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(stream)))
	seen := map[string]bool{}
	for n := 1; ; n++ {
		doc, err := docs.Read()
		if errors.Is(err, io.EOF) {
			return s
		}
		if err != nil {
			s.faults = append(s.faults, Fault{Object: fmt.Sprintf("document %d", n), Message: err.Error()})
			return s
		}
		if len(bytes.TrimSpace(doc)) == 0 {
			continue
		}
		o, err := decode(doc)
		if err != nil {
			name := fmt.Sprintf("document %d", n)
			if o != nil {
				name = o.String()
			}
			s.faults = append(s.faults, Fault{Object: name, Message: strings.ReplaceAll(err.Error(), "\n", "; ")})
			continue
		}
		id := o.apiVersion + " " + o.kind + " " + o.GetNamespace() + "/" + o.GetName()
		if seen[id] {
			s.fault(o, "metadata.name", "there is another one of this name")
		}
		seen[id] = true
		s.all = append(s.all, o)
		s.webhook(o)
	}
}

func decode(doc []byte) (*object, error) {
	var meta metav1.PartialObjectMetadata
	if err := yaml.Unmarshal(doc, &meta); err != nil {
		return nil, err
	}
	o := &object{Object: &meta, apiVersion: meta.APIVersion, kind: meta.Kind}
	make, ok := kinds[meta.APIVersion+" "+meta.Kind]
	if !ok {
		return o, fmt.Errorf("%s %s is no kind that is known here", meta.APIVersion, meta.Kind)
	}
	raw, err := yaml.YAMLToJSONStrict(doc)
	if err != nil {
		return o, err
	}
	o.raw = raw
	typed := make()
	if !strings.HasPrefix(meta.APIVersion, foreign) {
		strict, err := kjson.UnmarshalStrict(raw, typed) // as the API server does with validation Strict: names and types as they are
		if err = errors.Join(append(strict, err)...); err != nil {
			return o, err
		}
		o.Object = typed
	}
	if o.GetName() == "" {
		return o, errors.New("metadata.name is missing")
	}
	return o, nil
}

// installed is Knative's own configuration, as its release has it: what a Broker is that names no class, which features are on.
func installed(ctx context.Context) context.Context {
	flags, err := feature.NewFlagsConfigFromMap(nil)
	if err != nil {
		flags = feature.Flags{} // can't be: nothing was read
	}
	return feature.ToContext(config.ToContext(ctx, &config.Config{Defaults: &config.Defaults{ClusterDefaultConfig: &config.DefaultConfig{
		DefaultBrokerClass: "MTChannelBasedBroker",
		BrokerClasses: map[string]*config.BrokerConfig{"MTChannelBasedBroker": {KReference: &duckv1.KReference{
			APIVersion: "v1", Kind: "ConfigMap", Namespace: "knative-eventing", Name: "config-br-default-channel",
		}}},
	}}}), flags)
}

// webhook does what Knative's admission webhooks do: defaults, then validation.
func (s *set) webhook(o *object) {
	ctx := apis.WithinCreate(installed(context.Background()))
	if d, ok := o.Object.(any).(apis.Defaultable); ok {
		d.SetDefaults(ctx)
	}
	v, ok := o.Object.(any).(apis.Validatable)
	if !ok {
		return
	}
	if err := v.Validate(ctx); err != nil {
		for _, e := range err.WrappedErrors() {
			for _, p := range e.Paths {
				s.fault(o, p, "%s", strings.TrimSpace(e.Message+" "+e.Details))
			}
			if len(e.Paths) == 0 {
				s.fault(o, "", "%s", e.Message)
			}
		}
		if len(err.WrappedErrors()) == 0 && !reflect.ValueOf(err).IsNil() {
			s.fault(o, strings.Join(err.Paths, ", "), "%s", strings.TrimSpace(err.Message+" "+err.Details))
		}
	}
}
