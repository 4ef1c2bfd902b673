package manifest

import (
	"time"
)

// Namespace is the namespace of a manifest that names none.
const Namespace = "default"

// API versions and kinds that this package reads.
const (
	eventingV1 = "eventing.knative.dev/v1"
	sourcesV1  = "sources.knative.dev/v1"

	kindBroker     = "Broker"
	kindTrigger    = "Trigger"
	kindPingSource = "PingSource"
	kindService    = "Service"
)

// Set is what was read: complete and consistent.
type Set struct {
	Brokers  []Broker
	Triggers []Trigger
	Pings    []Ping
}

// Name is a namespaced name.
type Name struct {
	Namespace, Name string
}

// String returns namespace/name.
func (n Name) String() string { return n.Namespace + "/" + n.Name }

// Origin says where something was read, for messages about it.
type Origin struct {
	File string
	Line int
}

// Broker is a place that events are sent to.
type Broker struct {
	Name
	Origin

	Delivery *Delivery
}

// Trigger sends the events of a Broker that pass its filters to a subscriber.
type Trigger struct {
	Name
	Origin

	Broker     Name
	Attributes map[string]string // the older spec.filter.attributes; ignored where Filters is not empty, as Knative does
	Filters    []Filter          // all must pass
	Subscriber Destination
	Delivery   Delivery // its own, or else its Broker's; the dead letter sink falls back to the Broker's
}

// Filter is one expression of the CloudEvents Subscriptions API; exactly one of its fields is set, or none (passes all).
type Filter struct {
	Exact  map[string]string `yaml:"exact"`
	Prefix map[string]string `yaml:"prefix"`
	Suffix map[string]string `yaml:"suffix"`
	All    []Filter          `yaml:"all"`
	Any    []Filter          `yaml:"any"`
	Not    *Filter           `yaml:"not"`
	CESQL  string            `yaml:"cesql"`
}

// Delivery says how hard to try.
type Delivery struct {
	Retry       int           // further attempts after the first
	Exponential bool          // delay*2^n before retry n (counted from 0); else delay*n
	Delay       time.Duration // 0 = none was given: retries follow at once
	Timeout     time.Duration // of one attempt; 0 = none was given
	DeadLetter  *Destination  // nil = what can't be delivered is dropped
}

// Destination is where events go: a Service by name, with an optional path below it, or a URL.
type Destination struct {
	Service string // name of the Service; "" = URI is absolute
	URI     string
}

// Ping is a schedule that sends events to a Broker.
type Ping struct {
	Name
	Origin

	Schedule    string // as robfig/cron reads it, with optional seconds and a CRON_TZ prefix
	Broker      Name
	ContentType string
	Data        []byte
	Extensions  map[string]string
}
