// Package objectstoretest holds the contract that every kind of object store keeps, and real stores to hold it against.
package objectstoretest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidegate/tidegate/shared/objectstore"
	"github.com/tidegate/tidegate/shared/problem"
)

// Names are keys as people make them: all must work everywhere, and read back as they were written.
var Names = []string{
	"a.csv", "with space.csv", "umlaut-äöüß.csv", "plus+plus.csv", "percent%41.csv", "percent%.csv", "folder/inner.csv", "folder/deep/er/x",
	"questionmark?.csv", "hash#.csv", "amp&eq=.csv", "quote\"'.csv", "colon:.csv", "star*.csv", "__0x2f__.csv", "file.attrs", ".hidden", "..two-dots",
	"日本語.txt", "emoji-😀.bin", "tilde~", "semi;colon", "comma,comma", " leading space", "trailing space ", "-dash", "$dollar", "[bracket]{brace}|<angle>",
}

// BadKeys are keys that every store refuses as Invalid.
var BadKeys = []string{
	"", "/", "/abs", "../x", "a/../b", "..", ".", "./a", "a/./b", "a//b", "a/", `back\slash`, "nul\x00", "line\nfeed", "bell\x07", "del\x7f",
	".tidegate/x", ".tidegate", "\xff\xfe", strings.Repeat("k", 1025),
}

// Run holds a store against the contract. open returns an empty bucket; reopen, called with the store that open returned last, another
// handle on the same bucket, as another process would have it.
func Run(t *testing.T, open func(t *testing.T) (store objectstore.Store, reopen func(t *testing.T) objectstore.Store)) {
	t.Helper()
	one := func(t *testing.T) objectstore.Store {
		t.Helper()
		s, _ := open(t)
		return s
	}
	t.Run("names read back as they were written", func(t *testing.T) { testNames(t, one(t)) })
	t.Run("bad keys are refused by every call", func(t *testing.T) { testBadKeys(t, one(t)) })
	t.Run("what is not there", func(t *testing.T) { testAbsent(t, one(t)) })
	t.Run("list in the order of keys, by prefix and after", func(t *testing.T) { testList(t, one(t)) })
	t.Run("open reads ranges", func(t *testing.T) { testRanges(t, one(t)) })
	t.Run("the tag changes with the content", func(t *testing.T) { testTags(t, one(t)) })
	t.Run("put replaces as a whole or not at all", func(t *testing.T) { testPut(t, one(t)) })
	t.Run("upload in pieces", func(t *testing.T) { testUpload(t, one(t)) })
	t.Run("upload of no bytes", func(t *testing.T) { testEmptyUpload(t, one(t)) })
	t.Run("upload resumes in another process", func(t *testing.T) {
		s, reopen := open(t)
		testResume(t, s, reopen, true)
	})
	t.Run("upload resumes when its state is lost", func(t *testing.T) {
		s, reopen := open(t)
		testResume(t, s, reopen, false)
	})
	t.Run("upload starts anew after reset", func(t *testing.T) {
		s, reopen := open(t)
		testReset(t, s, reopen)
	})
	t.Run("upload keeps what came before a failure", func(t *testing.T) { testBrokenReader(t, one(t)) })
	t.Run("upload ends with its context", func(t *testing.T) { testCancelled(t, one(t)) })
	t.Run("uploads under way are invisible", func(t *testing.T) { testInvisible(t, one(t)) })
}

func testNames(t *testing.T, s objectstore.Store) {
	t.Helper()
	want := map[string]string{}
	for i, name := range Names {
		want[name] = fmt.Sprintf("content %d", i)
		put(t, s, name, want[name])
	}
	for name, content := range want {
		if got := read(t, s, name); got != content {
			t.Errorf("%q holds %q, want %q", name, got, content)
		}
		o, err := s.Head(t.Context(), name)
		if err != nil || o.Key != name || o.Size != int64(len(content)) || o.ETag == "" || strings.Contains(o.ETag, `"`) || time.Since(o.Modified) > time.Hour {
			t.Errorf("Head(%q) = %+v, %v", name, o, err)
		}
	}
	got := map[string]string{}
	for o, err := range s.List(t.Context(), "", "") {
		if err != nil {
			t.Fatal(err)
		}
		got[o.Key] = read(t, s, o.Key)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("List differs (-want +got):\n%s", diff)
	}
	for name := range want {
		if err := s.Delete(t.Context(), name); err != nil {
			t.Errorf("Delete(%q): %v", name, err)
		}
	}
	if keys := list(t, s, "", ""); len(keys) != 0 {
		t.Errorf("still there after Delete: %q", keys)
	}
}

func testBadKeys(t *testing.T, s objectstore.Store) {
	t.Helper()
	for _, key := range BadKeys {
		_, herr := s.Head(t.Context(), key)
		_, _, oerr := s.Open(t.Context(), key, "", 0, -1)
		_, perr := s.Put(t.Context(), key, "text/plain", strings.NewReader("x"))
		derr := s.Delete(t.Context(), key)
		_, uerr := s.Upload(t.Context(), key, "id", "text/plain", nil)
		for call, err := range map[string]error{"Head": herr, "Open": oerr, "Put": perr, "Delete": derr, "Upload": uerr} {
			if !problem.Is(err, problem.Invalid) {
				t.Errorf("%s(%.40q): %v, want an error of kind Invalid", call, key, err)
			}
		}
	}
	if _, err := s.Upload(t.Context(), "a", "", "text/plain", nil); !problem.Is(err, problem.Invalid) {
		t.Errorf("Upload without an id: %v, want Invalid", err)
	}
}

func testAbsent(t *testing.T, s objectstore.Store) {
	t.Helper()
	for _, key := range []string{"none", "no/such/folder/none"} {
		if _, err := s.Head(t.Context(), key); !problem.Is(err, problem.NotFound) {
			t.Errorf("Head(%q): %v, want NotFound", key, err)
		}
		if _, _, err := s.Open(t.Context(), key, "", 0, -1); !problem.Is(err, problem.NotFound) {
			t.Errorf("Open(%q): %v, want NotFound", key, err)
		}
		if _, _, err := s.Open(t.Context(), key, "tag", 5, 1); !problem.Is(err, problem.NotFound) {
			t.Errorf("Open(%q) with a tag: %v, want NotFound", key, err)
		}
		if err := s.Delete(t.Context(), key); err != nil {
			t.Errorf("Delete(%q): %v, want none", key, err)
		}
	}
	put(t, s, "none/really", "x")
	if _, err := s.Head(t.Context(), "none"); !problem.Is(err, problem.NotFound) {
		t.Errorf("Head of a folder: %v, want NotFound", err)
	}
	if err := s.Delete(t.Context(), "none"); err != nil {
		t.Errorf("Delete of a folder: %v, want none", err)
	}
	if got := read(t, s, "none/really"); got != "x" {
		t.Errorf("deleting the folder's name changed what is in it: %q", got)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Head(ended, "none/really"); !problem.Is(err, problem.Unavailable) {
		t.Errorf("Head when the time is over: %v, want Unavailable", err)
	}
}

func testList(t *testing.T, s objectstore.Store) {
	t.Helper()
	all := []string{"a", "a b", "a-1", "a.txt", "b/1", "b/2", "b/c/1", "b-x", "b.x", "b0", "c", "ä", "z/z/z/z"}
	for _, key := range all {
		put(t, s, key, "x")
	}
	sorted := append([]string(nil), all...)
	sortStrings(sorted)
	prefixes := []string{"", "a", "b", "b/", "b/c", "b/c/", "b/c/1", "b/9", "z/z", "ä", "nothing", "b/1/"}
	afters := append([]string{"", "b/", "b/c", "b/c/0", "b/zzz", "0", "zzzz", "~", "ö"}, all...)
	for _, prefix := range prefixes {
		for _, after := range afters {
			want := []string{}
			for _, key := range sorted {
				if strings.HasPrefix(key, prefix) && key > after {
					want = append(want, key)
				}
			}
			if diff := cmp.Diff(want, list(t, s, prefix, after)); diff != "" {
				t.Errorf("List(%q, %q) differs (-want +got):\n%s", prefix, after, diff)
			}
		}
	}
	n := 0
	for _, err := range s.List(t.Context(), "", "") {
		if err != nil {
			t.Fatal(err)
		}
		if n++; n == 2 {
			break
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, err := range s.List(ended, "", "") {
		if !problem.Is(err, problem.Unavailable) {
			t.Errorf("List when the time is over: %v, want Unavailable", err)
		}
	}
}

func testRanges(t *testing.T, s objectstore.Store) {
	t.Helper()
	o := put(t, s, "r", "0123456789")
	put(t, s, "empty", "")
	tests := []struct {
		key            string
		offset, length int64
		want           string
	}{
		{"r", 0, -1, "0123456789"},
		{"r", 0, 0, ""},
		{"r", 3, -1, "3456789"},
		{"r", 3, 4, "3456"},
		{"r", 8, 100, "89"},
		{"r", 10, -1, ""},
		{"r", 10, 5, ""},
		{"empty", 0, -1, ""},
		{"empty", 0, 5, ""},
	}
	for _, tt := range tests {
		r, got, err := s.Open(t.Context(), tt.key, "", tt.offset, tt.length)
		if err != nil {
			t.Errorf("Open(%q, %d, %d): %v", tt.key, tt.offset, tt.length, err)
			continue
		}
		b, err := io.ReadAll(r)
		if err != nil || string(b) != tt.want {
			t.Errorf("Open(%q, %d, %d) reads %q, %v, want %q", tt.key, tt.offset, tt.length, b, err, tt.want)
		}
		if tt.key == "r" && (got.Size != 10 || got.ETag != o.ETag) {
			t.Errorf("Open(%q, %d, %d) says %+v, want the size of the whole and the tag %q", tt.key, tt.offset, tt.length, got, o.ETag)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
	for _, offset := range []int64{-1, 11} {
		if _, _, err := s.Open(t.Context(), "r", "", offset, -1); !problem.Is(err, problem.Invalid) {
			t.Errorf("Open at %d of 10: %v, want Invalid", offset, err)
		}
	}
}

func testTags(t *testing.T, s objectstore.Store) {
	t.Helper()
	first := put(t, s, "tag", "one")
	head, err := s.Head(t.Context(), "tag")
	if err != nil || head.ETag != first.ETag {
		t.Errorf("Head says %q, %v, want Put's %q", head.ETag, err, first.ETag)
	}
	r, _, err := s.Open(t.Context(), "tag", first.ETag, 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	_ = r.Close()
	for o, err := range s.List(t.Context(), "tag", "") {
		if err != nil || o.ETag != first.ETag {
			t.Errorf("List says %q, %v, want Put's %q", o.ETag, err, first.ETag)
		}
	}
	second := put(t, s, "tag", "two") // as many bytes
	if second.ETag == first.ETag {
		t.Error("the tag stayed when the content changed")
	}
	for _, offset := range []int64{0, 1} {
		if _, _, err := s.Open(t.Context(), "tag", first.ETag, offset, -1); !problem.Is(err, problem.Stale) {
			t.Errorf("Open at %d by the old tag: %v, want Stale", offset, err)
		}
	}
}

func testPut(t *testing.T, s objectstore.Store) {
	t.Helper()
	put(t, s, "p", "old")
	broken := io.MultiReader(strings.NewReader(strings.Repeat("new", 1000)), iotest.ErrReader(errors.New("the source broke")))
	if _, err := s.Put(t.Context(), "p", "text/plain", broken); err == nil {
		t.Error("Put of a broken reader succeeded")
	}
	if got := read(t, s, "p"); got != "old" {
		t.Errorf("a failed Put left %.20q, want the old content", got)
	}
	if keys := list(t, s, "", ""); !cmp.Equal(keys, []string{"p"}) {
		t.Errorf("a failed Put left %q", keys)
	}
	big := random(3, 20<<20)
	o, err := s.Put(t.Context(), "big", "application/octet-stream", iotest.HalfReader(bytes.NewReader(big)))
	if err != nil || o.Size != int64(len(big)) {
		t.Fatalf("Put of 20 MiB: %+v, %v", o, err)
	}
	if got := read(t, s, "big"); got != string(big) {
		t.Error("20 MiB came back as something else")
	}
}

func put(t *testing.T, s objectstore.Store, key, content string) objectstore.Object {
	t.Helper()
	o, err := s.Put(t.Context(), key, "text/plain", strings.NewReader(content))
	if err != nil {
		t.Fatalf("Put(%q): %v", key, err)
	}
	if o.Key != key || o.Size != int64(len(content)) {
		t.Errorf("Put(%q) says %+v", key, o)
	}
	return o
}

func read(t *testing.T, s objectstore.Store, key string) string {
	t.Helper()
	r, _, err := s.Open(t.Context(), key, "", 0, -1)
	if err != nil {
		t.Fatalf("Open(%q): %v", key, err)
	}
	defer func() { _ = r.Close() }()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("reading %q: %v", key, err)
	}
	return string(b)
}

func list(t *testing.T, s objectstore.Store, prefix, after string) []string {
	t.Helper()
	keys := []string{}
	for o, err := range s.List(t.Context(), prefix, after) {
		if err != nil {
			t.Fatalf("List(%q, %q): %v", prefix, after, err)
		}
		keys = append(keys, o.Key)
	}
	return keys
}

func random(seed byte, n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(b) // never fails
	return b
}

func digest(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}
