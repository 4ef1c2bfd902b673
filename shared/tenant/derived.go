package tenant

import "sync"

// Derived keeps what a program makes of each tenant's document until the document is read anew. It is safe for concurrent use.
type Derived[T any] struct {
	of func(*Tenant) (T, error)

	mu   sync.Mutex
	byID map[string]derived[T]
}

type derived[T any] struct {
	document *Tenant
	value    T
}

// Derive returns an empty Derived. of is called once a document, unless it fails; it must not take long.
func Derive[T any](of func(*Tenant) (T, error)) *Derived[T] {
	return &Derived[T]{of: of, byID: map[string]derived[T]{}}
}

// Of returns what is made of the document.
func (d *Derived[T]) Of(t *Tenant) (T, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if known, ok := d.byID[t.ParticipantContextID]; ok && known.document == t {
		return known.value, nil
	}
	value, err := d.of(t)
	if err != nil {
		var none T
		return none, err
	}
	d.byID[t.ParticipantContextID] = derived[T]{t, value}
	return value, nil
}
