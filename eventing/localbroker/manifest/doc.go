// Package manifest reads Knative Eventing manifests: Brokers, Triggers and PingSources.
//
// It takes what Knative's admission webhooks take (knative.dev/eventing v0.50, default feature flags) and refuses what they
// refuse, so that a manifest that works here is accepted there: unknown fields, two filter dialects side by side, attribute
// names with other characters than a–z and 0–9, a destination without ref or uri, "@every" schedules. On top of that it
// refuses what Knative accepts and then never delivers: a Trigger whose Broker is not there, a filter that does not parse.
//
// Documents of other API groups are left alone; they may stand in the same folder. Every fault names file, line and field.
package manifest
