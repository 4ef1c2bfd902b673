// Package store keeps the state of the sandbox: tables in memory, each change written through to one bbolt file in the same
// transaction. A change is either wholly there after a kill or not at all. Values are shared and never changed in place.
package store

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/tidegate/tidegate/infra/sandbox/config"
	"github.com/tidegate/tidegate/infra/sandbox/model"
)

// Store holds all tables.
type Store struct {
	Participants        *Table[model.Participant]
	Assets              *Table[model.Asset]
	Policies            *Table[model.PolicyDefinition]
	ContractDefinitions *Table[model.ContractDefinition]
	CELExpressions      *Table[model.CELExpression]
	DataPlanes          *Table[model.DataPlane]
	Negotiations        *Table[model.Negotiation]
	Agreements          *Table[model.Agreement]
	Transfers           *Table[model.Transfer]
	Tasks               *Table[model.Task]
	Misbehaviours       *Table[config.Misbehaviour] // by participant context

	mu sync.RWMutex
	db *bbolt.DB
}

// Open opens or makes the store in a directory. Only one process at a time can have it open.
func Open(dir string, fsync bool) (*Store, error) {
	db, err := bbolt.Open(filepath.Join(dir, "sandbox.db"), 0o600, &bbolt.Options{
		Timeout: 2 * time.Second, NoSync: !fsync, NoFreelistSync: true, FreelistType: bbolt.FreelistMapType,
	})
	if err != nil {
		if errors.Is(err, bolterrors.ErrTimeout) {
			return nil, fmt.Errorf("state directory %s is in use by another process", dir)
		}
		return nil, fmt.Errorf("open state in %s: %w", dir, err)
	}
	s := &Store{db: db}
	err = db.Update(func(tx *bbolt.Tx) error {
		return errors.Join(
			load(tx, "participants", &s.Participants), load(tx, "assets", &s.Assets), load(tx, "policies", &s.Policies),
			load(tx, "contractdefinitions", &s.ContractDefinitions), load(tx, "celexpressions", &s.CELExpressions),
			load(tx, "dataplanes", &s.DataPlanes), load(tx, "negotiations", &s.Negotiations),
			load(tx, "agreements", &s.Agreements), load(tx, "transfers", &s.Transfers), load(tx, "tasks", &s.Tasks),
			load(tx, "misbehaviours", &s.Misbehaviours),
		)
	})
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return s, nil
}

// Close closes the file.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.db.Close()
}

// Tx is a view of all tables at one moment; that of Update can change them.
type Tx struct {
	bolt *bbolt.Tx // nil in a View
	undo []func()
}

// View reads.
func (s *Store) View(f func(tx *Tx)) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	f(&Tx{})
}

// Update changes: all of what f does, or nothing if it returns an error.
func (s *Store) Update(f func(tx *Tx) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := &Tx{}
	err := s.db.Update(func(b *bbolt.Tx) error {
		t.bolt = b
		return f(t)
	})
	if err != nil {
		for _, u := range slices.Backward(t.undo) {
			u()
		}
	}
	return err
}

// Table is one kind of object, in the order of their creation.
type Table[T any] struct {
	name string
	rows map[string]*row[T]
	list []*row[T]
	next uint64
}

type row[T any] struct {
	seq uint64
	id  string
	val *T
}

func load[T any](tx *bbolt.Tx, name string, p **Table[T]) error {
	t := &Table[T]{name: name, rows: map[string]*row[T]{}}
	*p = t
	b, err := tx.CreateBucketIfNotExists([]byte(name))
	if err != nil {
		return fmt.Errorf("table %s: %w", name, err)
	}
	err = b.ForEach(func(k, v []byte) error {
		if len(v) < 8 {
			return fmt.Errorf("row %q is cut short", k)
		}
		r := &row[T]{seq: binary.BigEndian.Uint64(v), id: string(k), val: new(T)}
		if err := json.Unmarshal(v[8:], r.val); err != nil {
			return fmt.Errorf("row %q: %w", k, err)
		}
		t.rows[r.id] = r
		t.list = append(t.list, r)
		t.next = max(t.next, r.seq+1)
		return nil
	})
	if err != nil {
		return fmt.Errorf("table %s: %w", name, err)
	}
	slices.SortFunc(t.list, bySeq[T])
	return nil
}

func bySeq[T any](a, b *row[T]) int {
	if a.seq < b.seq {
		return -1
	}
	return 1
}

// Get returns an object or nil.
func (t *Table[T]) Get(_ *Tx, id string) *T {
	if r, ok := t.rows[id]; ok {
		return r.val
	}
	return nil
}

// All runs through the table in order of creation.
func (t *Table[T]) All(*Tx) iter.Seq2[string, *T] {
	return func(yield func(string, *T) bool) {
		for _, r := range t.list {
			if !yield(r.id, r.val) {
				return
			}
		}
	}
}

// Put writes an object; one that exists is replaced and keeps its place.
func (t *Table[T]) Put(tx *Tx, id string, v *T) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("table %s: encode %q: %w", t.name, id, err)
	}
	old := t.rows[id]
	r := &row[T]{id: id, val: v}
	if old != nil {
		r.seq = old.seq
	} else {
		r.seq = t.next
		t.next++
	}
	buf := make([]byte, 8, 8+len(data))
	binary.BigEndian.PutUint64(buf, r.seq)
	if err := tx.bolt.Bucket([]byte(t.name)).Put([]byte(id), append(buf, data...)); err != nil {
		return fmt.Errorf("table %s: write %q: %w", t.name, id, err)
	}
	t.set(r)
	tx.undo = append(tx.undo, func() {
		if old != nil {
			t.set(old)
		} else {
			t.drop(r)
		}
	})
	return nil
}

// Delete removes an object, if it is there.
func (t *Table[T]) Delete(tx *Tx, id string) error {
	old := t.rows[id]
	if old == nil {
		return nil
	}
	if err := tx.bolt.Bucket([]byte(t.name)).Delete([]byte(id)); err != nil {
		return fmt.Errorf("table %s: delete %q: %w", t.name, id, err)
	}
	t.drop(old)
	tx.undo = append(tx.undo, func() { t.set(old) })
	return nil
}

func (t *Table[T]) set(r *row[T]) {
	t.rows[r.id] = r
	i, found := slices.BinarySearchFunc(t.list, r, func(a, b *row[T]) int {
		switch {
		case a.seq < b.seq:
			return -1
		case a.seq > b.seq:
			return 1
		}
		return 0
	})
	if found {
		t.list[i] = r
		return
	}
	t.list = slices.Insert(t.list, i, r)
}

func (t *Table[T]) drop(r *row[T]) {
	delete(t.rows, r.id)
	t.list = slices.DeleteFunc(t.list, func(x *row[T]) bool { return x.seq == r.seq })
}
