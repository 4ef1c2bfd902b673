// Package function is the harness of every function: it receives CloudEvents over HTTP in binary, structured and batch mode,
// checks them, runs a handler under a deadline, sends its reply, and drains on SIGTERM.
//
// A function's main is configuration and wiring:
//
//	func main() { function.Main("asset-publisher", run) }
//
//	func run(ctx context.Context, log zerolog.Logger) error {
//		cfg, err := function.LoadConfig[Config]()
//		if err != nil {
//			return err
//		}
//		svc, err := function.New("asset-publisher", cfg.Config, log)
//		if err != nil {
//			return err
//		}
//		svc.HandleEvents(NewPublisher(svc.Gateway(), …).Handle)
//		return svc.Run(ctx)
//	}
//
// # Answers to the broker
//
// Delivery is at least once. Knative redelivers on 404, 408, 409, 429 and 5xx, and on nothing else, so the status says whether a
// repeat can help: 400 for an event that is malformed or misses attributes, 413 for one over MAX_EVENT_BYTES, 415 for a request that
// is no CloudEvent, problem.EventStatus for what the handler returns, 503 for a panic. Success is 204, or 200 with the reply.
//
// A batch (application/cloudevents-batch+json) is handled event by event, in order. Its one status is the worst of all, so
// that a passing failure of one brings the whole batch again: handlers bear that. Replies to a batch are published to K_SINK,
// since an answer has room for one event.
//
// # What is passed on
//
// The trace (header traceparent, else the extension of that name, else a new one) goes into the handler's context, onto replies and
// published events, and onto the requests of Gateway and HTTPClient. A reply or a published event that names no participant
// context gets the one of the event being handled.
//
// Events are sent in binary mode. The one exception: an event with an attribute that a header can't carry as it is (a subject with an
// umlaut) goes in structured mode, because the SDKs do not agree on the percent-encoding of headers (HTTP protocol binding 1.0.2,
// section 3.1.3.2), while JSON is read alike by all.
//
// # Logging
//
// One line for each event, with ce_id, ce_type, ce_source, ce_subject, participant_context_id, process_id (if the event is of a data flow or
// a transfer), trace_id, duration (ms) and outcome: done, refused (the broker won't repeat it) or failed (it will).
package function
