// Package catalogue is the contract of Tidegate's events: their types, their data as Go structs, the JSON Schema of each
// (folder schemas) and, in ../asyncapi.yaml, who sends and who receives it. Schemas and AsyncAPI document are generated
// from this package and from the Trigger manifests; a test holds them together.
//
// All events are CloudEvents 1.0. Beside the attributes of that specification each carries the extension
// participantcontextid, the tenant it belongs to; only the ticks of the schedules are for all tenants. Its id is made of
// what happened (ID), so that the same happening told twice has the same id, and its dataschema names its schema.
//
// An event tells what has happened and names things by their ids. It holds no data address, no token and no other secret.
//
// Compatibility: data may gain members within a version, so a reader ignores what it does not know; a member is never
// removed, renamed or given another meaning. What needs that becomes a new type, …v2. The schemas are strict, for senders
// and tests: they refuse members that they do not know. testdata/events holds one event of each type as it was first sent;
// every later release must read them.
package catalogue

//go:generate go run github.com/tidegate/tidegate/eventing/cmd/contractgen -root ..
