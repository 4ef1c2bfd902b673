// Package ingest receives the data of a consumer's push flow into the tenant's sink (HTTP transfer profile, push). It knows no
// tokens and no limits: the public listener's handler (package data) has checked both, and gives it a body to read.
//
// The HTTP profile names neither method nor protocol, so a plain PUT or POST of the whole data is all that a pusher needs. One that
// wants a broken push to cost at most a part asks with HEAD how far the data is (Upload-Offset), and goes on from there by a PUT
// with Content-Range (RFC 9110, section 14.4). A Repr-Digest (RFC 9530) is verified before the object becomes visible.
//
// What is being written where stands in the flow's delivery record, which is written before the transfer is requested, as for pull.
// The record carries a lease by compare-and-set, so of two pushes at the same time, at two gateways, one goes on.
//
// Idempotence: the same data again, after it was delivered, is answered with success and changes nothing. If the process is killed
// between the object's commit and its record, the next request finds the object by its digest. The event object.delivered has an
// id that follows from flow and digest, and is on the outbox before the record says done.
package ingest
