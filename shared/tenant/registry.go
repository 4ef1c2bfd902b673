// Package tenant reads the documents of tenants, checks them, and keeps the last good version of each in force.
package tenant

import (
	"context"
	"time"

	"github.com/rs/zerolog"
)

// Registry holds the tenants of a folder: one YAML document a file (*.yaml), as a ConfigMap mounts them.
type Registry struct{}

// Validator is a further check of a document, e.g. that its rules compile. It returns nil or a problem.Field error whose
// field is a path like "approve.rules[2].when": the registry adds the file and the line.
type Validator func(*Tenant) error

// Open reads the folder. A broken document is logged, kept in Problems and left out; it stops no other tenant. The error is
// about the folder itself.
func Open(dir string, log zerolog.Logger, validators ...Validator) (*Registry, error) { panic("stub") }

// Load reads one document, strictly: an unknown member, a wrong type, a missing or contradictory value is an error with
// file, line and field.
func Load(file string, validators ...Validator) (*Tenant, error) { panic("stub") }

// Get returns a tenant in force; false for an unknown and for a suspended one.
func (r *Registry) Get(participantContextID string) (*Tenant, bool) { panic("stub") }

// All returns the tenants in force, in the order of their ids.
func (r *Registry) All() []*Tenant { panic("stub") }

// Problems returns what is wrong with the documents now, one error a file.
func (r *Registry) Problems() []error { panic("stub") }

// Watch reads the folder again when it changes, until ctx ends. onChange (may be nil) is called after each change.
func (r *Registry) Watch(ctx context.Context, every time.Duration, onChange func()) { panic("stub") }

// Line returns the line of a field's path in the document; 0 if it is not there.
func (t *Tenant) Line(path string) int { return t.lines[path] }

// File returns the file that the document was read from.
func (t *Tenant) File() string { return t.file }

// Bucket, Sink and Policy find a named part.
func (t *Tenant) Bucket(name string) (Bucket, bool) { panic("stub") }
func (t *Tenant) Sink(name string) (Sink, bool)     { panic("stub") }
func (t *Tenant) Policy(name string) (Policy, bool) { panic("stub") }
