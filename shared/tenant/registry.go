package tenant

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
)

// Registry holds the tenants of a folder: one YAML document a file (*.yaml, *.yml), as a ConfigMap mounts them. Reading
// is free of locks and sees one consistent set; a Tenant that was read stays as it is when the folder changes.
type Registry struct {
	dir        string
	log        zerolog.Logger
	validators []Validator
	served     func(*Tenant) (known, tended bool) // nil = all
	current    atomic.Pointer[snapshot]

	reloading sync.Mutex // guards files and folderErr
	files     map[string]*document
	folderErr error

	looking sync.Mutex // guards looked
	looked  time.Time  // when the folder was read for a tenant that was not there
}

// snapshot is what readers see; it is never changed.
type snapshot struct {
	byID     map[string]*Tenant
	all      []*Tenant
	problems []error
	known    map[string]bool // participant contexts that a document is about, in force or not
}

// Open reads the folder. A broken document is logged, kept in Problems and left out; it stops no other tenant. The error is
// about the folder itself.
func Open(dir string, log zerolog.Logger, validators ...Validator) (*Registry, error) {
	r := &Registry{dir: dir, log: log, validators: validators, files: map[string]*document{}}
	if _, err := r.reload(); err != nil {
		return nil, err
	}
	return r, nil
}

// OpenStrict reads the folder and fails if any document is broken; the error joins all faults of all documents. It is for
// launchers, where a person stands by who can mend the document.
func OpenStrict(dir string, validators ...Validator) (*Registry, error) {
	r, err := Open(dir, zerolog.Nop(), validators...)
	if err != nil {
		return nil, err
	}
	if problems := r.Problems(); len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	return r, nil
}

// Serve limits the registry to what the functions of a line do; it is called before anybody reads. With line "", the shared functions,
// Get still finds every tenant whose document is there, so that an event on its way while a tenant gets its own functions is handled; All
// leaves those out that have, so that no schedule tends them twice. With a line, only its tenants are there.
func (r *Registry) Serve(line string) {
	r.reloading.Lock()
	defer r.reloading.Unlock()
	r.served = func(t *Tenant) (known, tended bool) {
		return line == "" || t.FunctionLine == line, t.FunctionLine == line
	}
	r.publish()
}

// Get returns a tenant in force; false for an unknown and for a suspended one.
func (r *Registry) Get(participantContextID string) (*Tenant, bool) {
	t, ok := r.current.Load().byID[participantContextID]
	return t, ok
}

// All returns the tenants in force, in the order of their ids. Suspended ones are not among them.
func (r *Registry) All() []*Tenant { return slices.Clone(r.current.Load().all) }

// Problems returns what is wrong with the documents now, one error a file.
func (r *Registry) Problems() []error { return slices.Clone(r.current.Load().problems) }

// Watch reads the folder again every so often (5s if every is 0 or less), until ctx ends. It compares content, so that it
// sees the swap of links by which a ConfigMap is updated. After each change of the tenants in force or of the problems
// it calls onChange (may be nil), one call at a time.
func (r *Registry) Watch(ctx context.Context, every time.Duration, onChange func()) {
	if every <= 0 {
		every = 5 * time.Second
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		changed, err := r.reload()
		if err != nil && changed {
			r.log.Error().Err(err).Msg("the tenants' folder can't be read, the tenants in force stay")
		}
		if changed && onChange != nil {
			onChange()
		}
	}
}

// Reload reads the folder now and tells whether anything changed. The error is about the folder itself; the tenants in
// force stay then.
func (r *Registry) Reload() (bool, error) { return r.reload() }

func (r *Registry) reload() (bool, error) {
	r.reloading.Lock()
	defer r.reloading.Unlock()
	names, err := documents(r.dir)
	if err != nil {
		err = fmt.Errorf("tenants' folder: %w", err)
		changed := r.folderErr == nil || r.folderErr.Error() != err.Error()
		r.folderErr = err
		if old := r.current.Load(); old != nil && changed {
			r.publish()
		}
		return changed, err
	}
	changed := r.folderErr != nil
	r.folderErr = nil
	var removed []string
	for name, doc := range r.files {
		if !slices.Contains(names, name) {
			delete(r.files, name)
			changed = true
			if doc.inForce != nil {
				removed = append(removed, doc.inForce.ParticipantContextID)
			}
		}
	}
	for _, name := range names {
		doc := r.files[name]
		if doc == nil {
			doc = &document{}
			r.files[name] = doc
			changed = true
		}
		if doc.load(name, r.validators) {
			changed = true
		}
	}
	if changed || r.current.Load() == nil {
		taken := r.settle(names)
		r.publish()
		r.tell(taken, removed)
	}
	return changed, nil
}

// publish makes the state of the documents what readers see.
func (r *Registry) publish() {
	s := &snapshot{byID: map[string]*Tenant{}, known: map[string]bool{}}
	if r.folderErr != nil {
		s.problems = append(s.problems, r.folderErr)
	}
	for _, name := range sortedNames(r.files) {
		doc := r.files[name]
		if err := doc.problem(); err != nil {
			s.problems = append(s.problems, err)
		}
		if name := doc.named(); name != "" {
			s.known[name] = true
		}
		if t := doc.inForce; t != nil {
			s.known[t.ParticipantContextID] = true
		}
		if t := doc.inForce; t != nil && !t.Suspended {
			known, tended := true, true
			if r.served != nil {
				known, tended = r.served(t)
			}
			if known {
				s.byID[t.ParticipantContextID] = t
			}
			if tended {
				s.all = append(s.all, t)
			}
		}
	}
	slices.SortFunc(s.all, byID)
	r.current.Store(s)
}
