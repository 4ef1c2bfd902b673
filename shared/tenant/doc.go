// Package tenant reads the documents of tenants, checks them, and keeps the last good version of each in force.
//
// A tenant is one YAML document: a file in a folder, as a ConfigMap is mounted in a cluster. Documents are read strictly:
// an unknown member, a wrong type, a missing or contradictory value is a [FaultError] with file, line and field, and all
// faults of a document are reported together. A document that is broken changes nothing: the last good version of it
// stays in force, and no other tenant is touched. Secrets never stand in a document, only the names of files that hold
// them; a relative name is relative to the document's folder.
//
// A commented document with every member is testdata/complete/provider.yaml.
package tenant
