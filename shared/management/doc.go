// Package management is a client of the EDC Management API v5beta, for one participant context.
//
// Every call goes to {managementUrl}/v5beta/participants/{participantContextId}/… with a token of the tenant. Bodies carry
// the @context of the API as an array and the @type of the message, as the API's JSON schemas demand.
//
// # Errors
//
// A refusal is a problem.Error: 400 Invalid (with the path of the first validation failure as field), 401
// Unauthenticated, 403 Forbidden, 404 NotFound, 409 Conflict, 413 TooLarge, 429 TooMany, or Unavailable if it says when to
// try again, 500 and 502 Upstream, 503 Unavailable, 504 Timeout. The message is the control plane's, cut short, without
// tokens and secrets. A control plane that can't be reached, or answers with what is no answer, is Upstream; one that
// does not answer in time is Timeout.
//
// # What is repeated
//
// A call is repeated, a few times within a bounded time and with jitter, after failures that pass (no connection, a broken
// answer, 429 and 5xx), if a repeat can't double an effect:
//
//   - reads, queries, catalog requests, updates (PUT) and deletes: always. A delete that finds nothing has succeeded.
//   - creates with an id that we give: always. If a try ended without an answer and a later one is told that the id
//     exists, the object is read back, and the create has succeeded if the control plane has it under this id. A
//     conflict on the first try is a Conflict.
//   - everything else (negotiations, transfers without an id, terminate, suspend, resume): only if the request can't have
//     been sent, because no connection was made.
//
// A 401 drops the token and repeats the call once with a new one, whatever the call is: it was refused before anything
// happened.
package management
