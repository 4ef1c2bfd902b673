package objectstore_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/tidegate/tidegate/shared/objectstore"
	"github.com/tidegate/tidegate/shared/objectstore/objectstoretest"
	"github.com/tidegate/tidegate/shared/tenant"
)

func openFolder(tb testing.TB, dir string) objectstore.Store {
	tb.Helper()
	s, err := objectstore.Open(tb.Context(), tenant.Bucket{Name: "in", URL: "file://" + filepath.ToSlash(dir)})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s
}

func TestFileStoreKeepsTheContract(t *testing.T) {
	objectstoretest.Run(t, func(t *testing.T) (objectstore.Store, func(*testing.T) objectstore.Store) {
		t.Helper()
		dir := t.TempDir()
		return openFolder(t, dir), func(t *testing.T) objectstore.Store { t.Helper(); return openFolder(t, dir) }
	})
}

func TestFilesAreNamedAsAPersonSeesThem(t *testing.T) {
	dir := t.TempDir()
	s := openFolder(t, dir)
	for _, name := range objectstoretest.Names {
		if _, err := s.Put(t.Context(), name, "", newReader("x")); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Errorf("%q is not in the folder under its own name: %v", name, err)
		}
	}
	entries, err := os.ReadDir(filepath.Join(dir, ".tidegate"))
	if err != nil || len(entries) != 0 {
		t.Errorf("left in the private folder: %v, %v", entries, err)
	}
}
