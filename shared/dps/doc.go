// Package dps is the wire of Data Plane Signaling (DPS 1.0), as text and control planes speak it: messages, decoding,
// encoding, the state machine, data addresses, registration. It does no I/O.
//
// Decoding is tolerant of what real control planes send: members that it does not know, a missing "@type", null for
// whatever is optional, one object where a list is meant, numbers as values of endpoint properties, "transferType" for
// "profile", a byte order mark, empty bodies where nothing is needed. It is strict where a guess could hurt: what is missing or of the
// wrong type is a problem.Field error that names the member; a member given twice, trailing text, text that is not
// UTF-8, and messages over MaxMessage bytes or deeper than MaxDepth are refused. Errors never repeat a value, since it may be a secret.
//
// Encoding is strict: every "@type" is set, nothing is null, and that holds for plain json.Marshal of these types too.
//
// The differences between control planes are one Dialect each (see its constants); handlers see one model.
//
// The state machine is one table (Transition); who keeps the state is not this package's business.
package dps
