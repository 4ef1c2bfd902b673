// Package store keeps what the local broker has accepted until it is delivered, in one bbolt file.
//
// Two buckets: events by sequence number, and deliveries by (sequence number, lane, Trigger). An event and its deliveries are
// written in one transaction, and so are a reply with the end of the delivery that it answers, and the move of a delivery to
// the dead letter lane. An event goes when its last delivery has gone.
//
// One goroutine writes. It takes all changes that wait and commits them together, so that the two fsyncs of a bbolt commit are
// shared by all who publish at the same time, while a lone publisher does not wait for company. Changes that nobody waits for
// (the end of a delivery, a counted attempt) travel with the next commit, at the latest after 20 ms: what is lost of them in
// a crash means a second delivery, never a lost one.
package store
