// Package contract makes the written contract of the events from the catalogue's Go types and the Trigger manifests: a JSON
// Schema per type and the AsyncAPI document. The same input gives the same bytes.
package contract
