// Package slices is what functions that move bulk data in slices of time have in common: transfer-puller and transfer-pusher. An event
// wakes one of them for a flow (Mover), it holds the flow's record by a lease (package lease) and works until the data, its slice or
// the flow ends (Slice), and a follow-up event begins the next slice (Progress). The peer is the other participant's endpoint.
package slices
