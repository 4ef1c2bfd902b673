package store

import (
	"errors"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/infra/sandbox/model"
)

func open(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(dir, false)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func content(s *Store) (out []string) {
	s.View(func(tx *Tx) {
		for id, a := range s.Assets.All(tx) {
			out = append(out, id+"="+a.ParticipantContextID)
		}
	})
	return out
}

func put(s *Store, id, owner string) error {
	return s.Update(func(tx *Tx) error {
		return s.Assets.Put(tx, id, &model.Asset{Owned: model.Owned{ID: id, ParticipantContextID: owner}})
	})
}

func TestOrderOfCreationSurvivesReopening(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	for _, id := range []string{"b", "a", "c", "a"} { // the second a replaces the first and keeps its place
		if err := put(s, id, "p"); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{"b=p", "a=p", "c=p"}
	if d := cmp.Diff(want, content(s)); d != "" {
		t.Error(d)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir)
	defer s.Close()
	if d := cmp.Diff(want, content(s)); d != "" {
		t.Error(d)
	}
}

func TestASecondProcessIsRefused(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	defer s.Close()
	if _, err := Open(dir, false); err == nil {
		t.Error("opened twice")
	}
}

// TestFailedChangesLeaveNothing holds the store against a plain list: changes that succeed are there, in memory and after
// reopening, those that fail are not.
func TestFailedChangesLeaveNothing(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dir := t.TempDir()
		s := open(t, dir)
		var ids []string
		owner := map[string]string{}
		for range rapid.IntRange(1, 12).Draw(rt, "changes") {
			fail := rapid.Bool().Draw(rt, "fail")
			newIDs, newOwner := slices.Clone(ids), maps.Clone(owner)
			err := s.Update(func(tx *Tx) error {
				for range rapid.IntRange(1, 4).Draw(rt, "writes") {
					id := rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(rt, "id")
					_, exists := newOwner[id]
					if rapid.Bool().Draw(rt, "delete") {
						if err := s.Assets.Delete(tx, id); err != nil {
							return err
						}
						delete(newOwner, id)
						var kept []string
						for _, x := range newIDs {
							if x != id {
								kept = append(kept, x)
							}
						}
						newIDs = kept
						continue
					}
					v := rapid.SampledFrom([]string{"p", "q"}).Draw(rt, "owner")
					if err := s.Assets.Put(tx, id, &model.Asset{Owned: model.Owned{ID: id, ParticipantContextID: v}}); err != nil {
						return err
					}
					if !exists {
						newIDs = append(newIDs, id)
					}
					newOwner[id] = v
				}
				if fail {
					return errors.New("no")
				}
				return nil
			})
			if (err != nil) != fail {
				rt.Fatal(err)
			}
			if !fail {
				ids, owner = newIDs, newOwner
			}
			var want []string
			for _, id := range ids {
				want = append(want, id+"="+owner[id])
			}
			if d := cmp.Diff(want, content(s)); d != "" {
				rt.Fatal(d)
			}
		}
		before := content(s)
		if err := s.Close(); err != nil {
			rt.Fatal(err)
		}
		s = open(t, dir)
		defer s.Close()
		if d := cmp.Diff(before, content(s)); d != "" {
			rt.Fatal(d)
		}
	})
}
