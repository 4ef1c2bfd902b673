// Package records keeps the records of functions in Redis: datasets, decisions, supplies and deliveries
// (shared/gatewayapi). A function holds no state of its own; what makes it safe to run twice is a conditional write here.
//
// A record is a Redis hash with the members doc (the JSON document, canonical), rev (its revision, unique for ever within
// tenant and kind, also across a removal), and for the scripts of other packages, which so need no JSON: verdict,
// dataset, counterparty and reason on decisions, withdrawn ("1" or "0") and sha256 on datasets.
// Withdrawing or deleting a dataset is told to all gateways, which cut its open streams. Beside the records of a tenant and kind stands a sorted set of
// their ids, by which they are listed without a scan of the keyspace, and one of the times at which records end that are
// kept for a while only. All keys of a tenant lie in one slot, so a write is one script and one round trip.
package records
