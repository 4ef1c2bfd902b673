// Package delivery takes accepted events to their subscribers, by Knative's rules.
//
// Each Trigger has two lanes: one to its subscriber, one to its dead letter sink. A lane runs up to a number of deliveries at
// a time; an event that waits for its retry holds no place, so it stops no other.
//
// What is done again and what is not is Knative's rule (SelectiveRetry): 404, 408, 409, 429, every 5xx and a broken or timed
// out request count against the Trigger's retry; any other answer that is no 2xx goes to the dead letter sink at once. A 2xx
// with a body that is no CloudEvent is a 502, as in Knative; one that is a CloudEvent becomes a new event of the Broker,
// stored in the same transaction that ends the delivery.
//
// Three things differ, and each is for one machine:
//   - Nobody listens (the connection is refused): in a cluster the activator would hold the request until the function is up.
//     Here the lane waits, asks with a growing pause of at most a second, and counts none of it against retry. Only when the
//     subscriber has been away for the patience (Options.ConnectPatience) does the event go to the dead letter sink, with code 503.
//   - Retry-After on 429 and 503 is honoured up to a limit; Knative does that only with an alpha feature.
//   - The dead letter sink gets the event until it takes it. Knative gives up after the Trigger's retries.
//
// Everything is at least once: a subscriber whose answer is lost gets the event again.
package delivery
