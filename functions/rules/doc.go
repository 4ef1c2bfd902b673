// Package rules compiles and evaluates the CEL expressions of tenants' documents: which negotiations are approved, which
// datasets a subscription takes, which terms it accepts.
//
// Variables of an approve rule:
//
//	counterparty  {id string, address string}        who asks; id is its DSP participant id, a DID
//	claims        map(string, dyn)                   what the control plane verified about it; {} if it tells nothing
//	asset         {id, name, contentType string, size int, properties map(string, dyn)}
//	offer         {id string, permission, prohibition, obligation list(map(string, dyn))}   ODRL, as asked for
//	now           timestamp
//
// Variables of a subscription's filter and accept:
//
//	dataset       like asset
//	offer         as above (accept only)
//	now           timestamp
//
// An expression is of type bool, is checked when the document is loaded, and has a bounded cost. CEL as in EDC-V: the
// common expression language with strings, sets and lists extensions.
package rules
