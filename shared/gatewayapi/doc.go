// Package gatewayapi is the contract of the gateway's internal API, the one that functions, the broker and operators call:
// its types, and a client.
//
// Everything lies below /v1/participants/{participantContextId}/…, is authenticated by a bearer token, and answers errors
// as problem documents. An unknown, suspended or foreign participant context answers 404, always the same.
//
// The gateway keeps a few kinds of records for functions, which hold no state of their own: datasets, decisions, supplies
// and deliveries. A record is one JSON document with a revision, its ETag; If-Match and If-None-Match: * make a write
// conditional, and a condition that does not hold is 412. So a handler that runs twice, or in two places, has its effect once.
package gatewayapi
