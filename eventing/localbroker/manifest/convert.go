package manifest

import (
	"encoding/base64"
	"encoding/json"
	"net/url"
	"regexp"
	"strings"

	"github.com/robfig/cron/v3"
)

// dnsLabel is what Kubernetes demands of names, here with dots.
var dnsLabel = regexp.MustCompile(`^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$`)

// Cron reads schedules as Knative's PingSource does: five fields, or six with the seconds first, or @hourly and the like.
func Cron() cron.Parser {
	return cron.NewParser(cron.SecondOptional | cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Descriptor)
}

func (l *loader) broker(d *document) error {
	var doc brokerDoc
	if err := d.decode(&doc); err != nil {
		return err
	}
	name, err := d.name(doc.Metadata)
	if err != nil {
		return err
	}
	b := Broker{Name: name, Origin: d.origin()}
	if b.Delivery, err = d.delivery(doc.Spec.Delivery); err != nil {
		return err
	}
	l.brokers = append(l.brokers, b)
	return nil
}

func (l *loader) trigger(d *document) error {
	var doc triggerDoc
	if err := d.decode(&doc); err != nil {
		return err
	}
	name, err := d.name(doc.Metadata)
	if err != nil {
		return err
	}
	t := pendingTrigger{Trigger: Trigger{Name: name, Origin: d.origin(), Filters: doc.Spec.Filters}}
	if t.Broker, err = d.brokerOf(name.Namespace, doc.Spec.Broker, doc.Spec.BrokerRef); err != nil {
		return err
	}
	if doc.Spec.Filter != nil {
		t.Attributes = doc.Spec.Filter.Attributes
		if err := d.attributes("spec.filter.attributes", t.Attributes, true); err != nil {
			return err
		}
	}
	if err := d.filters("spec.filters", doc.Spec.Filters); err != nil {
		return err
	}
	if t.Subscriber, err = d.destination("spec.subscriber", doc.Spec.Subscriber); err != nil {
		return err
	}
	if t.own, err = d.delivery(doc.Spec.Delivery); err != nil {
		return err
	}
	l.triggers = append(l.triggers, t)
	return nil
}

func (d *document) brokerOf(namespace, name string, ref *reference) (Name, error) {
	switch {
	case name == "" && ref == nil:
		return Name{}, d.fault("spec.broker", "is missing")
	case name != "" && ref != nil:
		return Name{}, d.fault("spec.brokerRef", "stands beside broker; expected one of the two")
	case ref != nil && ref.Namespace != "":
		return Name{}, d.fault("spec.brokerRef.namespace", "must not be set: Knative refuses it unless told otherwise")
	case ref != nil:
		name = ref.Name
	}
	return Name{Namespace: namespace, Name: name}, nil
}

func (l *loader) ping(d *document) error {
	var doc pingDoc
	if err := d.decode(&doc); err != nil {
		return err
	}
	name, err := d.name(doc.Metadata)
	if err != nil {
		return err
	}
	p := Ping{Name: name, Origin: d.origin(), Schedule: doc.Spec.Schedule, ContentType: doc.Spec.ContentType}
	if p.Schedule == "" {
		p.Schedule = "* * * * *"
	}
	if strings.Contains(p.Schedule, "@every") {
		return d.fault("spec.schedule", "@every is not possible in a PingSource; expected cron fields")
	}
	if doc.Spec.Timezone != "" {
		p.Schedule = "CRON_TZ=" + doc.Spec.Timezone + " " + p.Schedule
	}
	if err := parseSchedule(p.Schedule); err != nil {
		return d.fault("spec.schedule", "%v", err)
	}
	sink := doc.Spec.Sink
	if sink == nil || sink.Ref == nil || sink.Ref.Kind != kindBroker || sink.Ref.APIVersion != eventingV1 {
		return d.fault("spec.sink.ref", "expected a Broker: {apiVersion: %s, kind: %s, name: …}", eventingV1, kindBroker)
	}
	p.Broker = Name{Namespace: name.Namespace, Name: sink.Ref.Name}
	if p.Data, err = d.pingData(doc.Spec.Data, doc.Spec.DataBase64, doc.Spec.ContentType); err != nil {
		return err
	}
	if o := doc.Spec.CEOverrides; o != nil {
		p.Extensions = o.Extensions
		if err := d.attributes("spec.ceOverrides.extensions", o.Extensions, true); err != nil {
			return err
		}
	}
	l.pings = append(l.pings, p)
	return nil
}

// parseSchedule survives the parser's panics, which it has for some time zones.
func parseSchedule(s string) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = errSchedule
		}
	}()
	_, err = Cron().Parse(s)
	return err
}

func (d *document) pingData(plain, b64, contentType string) ([]byte, error) {
	data, field := []byte(plain), "spec.data"
	if b64 != "" {
		if plain != "" {
			return nil, d.fault("spec.dataBase64", "stands beside data; expected one of the two")
		}
		field = "spec.dataBase64"
		var err error
		if data, err = base64.StdEncoding.DecodeString(b64); err != nil {
			return nil, d.fault(field, "%v", err)
		}
	}
	var object map[string]any
	if len(data) > 0 && contentType == "application/json" {
		if err := json.Unmarshal(data, &object); err != nil {
			return nil, d.fault(field, "is no JSON object: %v", err)
		}
	}
	return data, nil
}

func (d *document) name(m objectMeta) (Name, error) {
	if !dnsLabel.MatchString(m.Name) {
		return Name{}, d.fault("metadata.name", "%q is no name; expected lower-case letters, digits and hyphens", m.Name)
	}
	if m.Namespace == "" {
		return Name{Namespace: Namespace, Name: m.Name}, nil
	}
	if !dnsLabel.MatchString(m.Namespace) {
		return Name{}, d.fault("metadata.namespace", "%q is no namespace", m.Namespace)
	}
	return Name{Namespace: m.Namespace, Name: m.Name}, nil
}

func (d *document) destination(field string, in *destinationDoc) (Destination, error) {
	if in == nil || (in.Ref == nil && in.URI == "") {
		return Destination{}, d.fault(field, "expected ref or uri")
	}
	u, err := url.Parse(in.URI)
	if err != nil {
		return Destination{}, d.fault(field+".uri", "%q is no URI", in.URI)
	}
	if in.Ref == nil {
		if (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
			return Destination{}, d.fault(field+".uri", "%q: expected an absolute http or https URI, since there is no ref", in.URI)
		}
		return Destination{URI: in.URI}, nil
	}
	if u.IsAbs() || u.Host != "" {
		return Destination{}, d.fault(field+".uri", "must be relative, since there is a ref")
	}
	if in.Ref.Kind != kindService {
		return Destination{}, d.fault(field+".ref.kind", "%q: expected Service", in.Ref.Kind)
	}
	if in.Ref.APIVersion != "v1" && in.Ref.APIVersion != "serving.knative.dev/v1" {
		return Destination{}, d.fault(field+".ref.apiVersion", "%q: expected v1 or serving.knative.dev/v1", in.Ref.APIVersion)
	}
	if !dnsLabel.MatchString(in.Ref.Name) {
		return Destination{}, d.fault(field+".ref.name", "%q is no name", in.Ref.Name)
	}
	return Destination{Service: in.Ref.Name, URI: in.URI}, nil
}

func (d *document) delivery(in *deliveryDoc) (*Delivery, error) {
	if in == nil {
		return nil, nil
	}
	const at = "spec.delivery"
	out := &Delivery{}
	if in.Retry != nil {
		if *in.Retry < 0 || *in.Retry > 1000 {
			return nil, d.fault(at+".retry", "%d: expected 0 to 1000", *in.Retry)
		}
		out.Retry = *in.Retry
	}
	switch in.BackoffPolicy {
	case "", "linear":
	case "exponential":
		out.Exponential = true
	default:
		return nil, d.fault(at+".backoffPolicy", "%q: expected linear or exponential", in.BackoffPolicy)
	}
	var err error
	if in.BackoffDelay != "" {
		if out.Delay, err = ParseDuration(in.BackoffDelay); err != nil {
			return nil, d.fault(at+".backoffDelay", "%v", err)
		}
	}
	if out.Delay > 0 && in.BackoffPolicy == "" {
		return nil, d.fault(at+".backoffPolicy", "is missing: without it backoffDelay has no effect")
	}
	if in.Timeout != "" {
		if out.Timeout, err = ParseDuration(in.Timeout); err != nil {
			return nil, d.fault(at+".timeout", "%v", err)
		}
		if out.Timeout == 0 {
			return nil, d.fault(at+".timeout", "must be more than 0")
		}
	}
	if in.Format != "" && in.Format != "binary" {
		return nil, d.fault(at+".format", "%q: only binary is possible here", in.Format)
	}
	if in.DeadLetterSink != nil {
		dl, err := d.destination(at+".deadLetterSink", in.DeadLetterSink)
		if err != nil {
			return nil, err
		}
		out.DeadLetter = &dl
	}
	return out, nil
}
