package objectstore_test

import (
	"bytes"
	"crypto/rand"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/tidegate/tidegate/shared/problem"
)

func TestTwoProcessesDoNotWriteTheSameUpload(t *testing.T) {
	dir := t.TempDir()
	a, b := openFolder(t, dir), openFolder(t, dir)
	u, err := a.Upload(t.Context(), "k", "id", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Upload(t.Context(), "k", "id", "", nil); !problem.Is(err, problem.Unavailable) {
		t.Errorf("a second Upload of the id: %v, want Unavailable", err)
	}
	if err := u.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := b.Upload(t.Context(), "k", "id", "", nil)
	if err != nil {
		t.Fatalf("after Close: %v", err)
	}
	if _, err := again.Commit(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestAnUploadWithoutItsNoteIsHashedAnew(t *testing.T) {
	for name, spoil := range map[string]func(t *testing.T, note string){
		"missing": func(t *testing.T, note string) {
			t.Helper()
			if err := os.Remove(note); err != nil {
				t.Fatal(err)
			}
		},
		"garbage": func(t *testing.T, note string) {
			t.Helper()
			b := make([]byte, 512)
			_, _ = rand.Read(b)
			if err := os.WriteFile(note, b, 0o600); err != nil {
				t.Fatal(err)
			}
		},
		"empty": func(t *testing.T, note string) {
			t.Helper()
			if err := os.Truncate(note, 0); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := openFolder(t, dir)
			u, err := s.Upload(t.Context(), "k", "id", "", nil)
			if err != nil {
				t.Fatal(err)
			}
			content := bytes.Repeat([]byte("abcdefg"), 1_000_000)
			if _, err := u.ReadFrom(t.Context(), bytes.NewReader(content)); err != nil {
				t.Fatal(err)
			}
			sum := u.SHA256()
			if err := u.Close(); err != nil {
				t.Fatal(err)
			}
			notes, _ := filepath.Glob(filepath.Join(dir, ".tidegate", "*.note"))
			if len(notes) != 1 {
				t.Fatalf("notes: %q", notes)
			}
			spoil(t, notes[0])
			u, err = s.Upload(t.Context(), "k", "id", "", nil)
			if err != nil {
				t.Fatal(err)
			}
			defer u.Close()
			if u.Offset() != int64(len(content)) || u.SHA256() != sum {
				t.Errorf("resumed at %d with %s, want %d with %s", u.Offset(), u.SHA256(), len(content), sum)
			}
		})
	}
}

func TestForgottenFilesAreSwept(t *testing.T) {
	dir := t.TempDir()
	old := time.Now().Add(-15 * 24 * time.Hour)
	for name, age := range map[string]time.Time{
		"put-old": old, "put-new": time.Now(), "aa.part": old, "aa.part.note": old, "bb.part": time.Now().Add(-48 * time.Hour),
	} {
		write(t, dir, ".tidegate/"+name, "x")
		if err := os.Chtimes(filepath.Join(dir, ".tidegate", name), age, age); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := openFolder(t, dir).Put(t.Context(), "k", "", newReader("x")); err != nil {
		t.Fatal(err)
	}
	left, _ := filepath.Glob(filepath.Join(dir, ".tidegate", "*"))
	if len(left) != 2 {
		t.Errorf("left: %q, want bb.part and put-new", left)
	}
}
