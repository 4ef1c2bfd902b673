package objectstore_test

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/tidegate/tidegate/shared/objectstore"
	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/tenant"
)

func keys(t *testing.T, s objectstore.Store) []string {
	t.Helper()
	var out []string
	for o, err := range s.List(t.Context(), "", "") {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, o.Key)
	}
	return out
}

func write(tb testing.TB, dir, name, content string) {
	tb.Helper()
	file := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		tb.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
		tb.Fatal(err)
	}
}

func TestLinksDoNotLeadOutOfTheFolder(t *testing.T) {
	outside, dir := t.TempDir(), t.TempDir()
	write(t, outside, "secret", "secret")
	write(t, dir, "in/real", "real")
	for link, target := range map[string]string{
		"file-link": filepath.Join(outside, "secret"), "dir-link": outside, "up": "../" + filepath.Base(outside), "loop": "loop", "in/again": ".",
	} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	s := openFolder(t, dir)
	for _, key := range []string{"file-link", "dir-link/secret", "up/secret", "loop", "loop/x"} {
		if _, err := s.Head(t.Context(), key); !problem.Is(err, problem.NotFound) {
			t.Errorf("Head(%q): %v, want NotFound", key, err)
		}
		if r, _, err := s.Open(t.Context(), key, "", 0, -1); err == nil {
			_ = r.Close()
			t.Errorf("Open(%q) opened it", key)
		}
	}
	for _, key := range []string{"dir-link/new", "up/new", "loop/new"} {
		if _, err := s.Put(t.Context(), key, "", newReader("x")); err == nil {
			t.Errorf("Put(%q) wrote it", key)
		}
		if err := s.Delete(t.Context(), strings.Replace(key, "new", "secret", 1)); err != nil && !problem.Is(err, problem.Unavailable) {
			t.Errorf("Delete: %v", err)
		}
	}
	if b, err := os.ReadFile(filepath.Join(outside, "secret")); string(b) != "secret" {
		t.Errorf("the file outside is %q, %v", b, err)
	}
	if got := keys(t, s); len(got) != 1 || got[0] != "in/real" {
		t.Errorf("List shows %q, want in/real only", got)
	}
	// A link that takes the key's place is replaced, not followed.
	if _, err := s.Put(t.Context(), "file-link", "", newReader("mine")); err != nil {
		t.Error(err)
	}
	if b, _ := os.ReadFile(filepath.Join(outside, "secret")); string(b) != "secret" {
		t.Errorf("Put wrote through a link: %q", b)
	}
}

func TestWhatIsNoRegularFileIsNoObject(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o644); err != nil {
		t.Fatal(err)
	}
	write(t, dir, "back\\slash", "x")
	write(t, dir, "new\nline", "x")
	write(t, dir, "bad\xff", "x")
	write(t, dir, "good", "x")
	if err := os.Mkdir(filepath.Join(dir, "empty"), 0o755); err != nil {
		t.Fatal(err)
	}
	s := openFolder(t, dir)
	if got := keys(t, s); len(got) != 1 || got[0] != "good" {
		t.Errorf("List shows %q, want good only", got)
	}
	for _, key := range []string{"pipe", "empty"} {
		if _, _, err := s.Open(t.Context(), key, "", 0, -1); !problem.Is(err, problem.NotFound) {
			t.Errorf("Open(%q): %v, want NotFound", key, err)
		}
		if err := s.Delete(t.Context(), key); err != nil {
			t.Errorf("Delete(%q): %v", key, err)
		}
		if _, err := os.Lstat(filepath.Join(dir, key)); err != nil {
			t.Errorf("Delete(%q) removed it", key)
		}
	}
	if _, err := s.Put(t.Context(), "empty", "", newReader("x")); !problem.Is(err, problem.Invalid) {
		t.Errorf("Put over a folder: %v, want Invalid", err)
	}
	if _, err := s.Put(t.Context(), "good/below", "", newReader("x")); !problem.Is(err, problem.Invalid) {
		t.Errorf("Put below a file: %v, want Invalid", err)
	}
	if _, err := s.Head(t.Context(), "good/below"); !problem.Is(err, problem.NotFound) {
		t.Errorf("Head below a file: %v, want NotFound", err)
	}
	if _, err := s.Head(t.Context(), strings.Repeat("n", 256)); !problem.Is(err, problem.Invalid) {
		t.Errorf("Head of a name of 256 bytes: %v, want Invalid", err)
	}
}

// A folder that is gone must never look like an empty one: everything published from it would be withdrawn.
func TestAFolderThatIsGoneIsNotEmpty(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "bucket")
	write(t, dir, "a", "x")
	s := openFolder(t, dir)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	failed := false
	for _, err := range s.List(t.Context(), "", "") {
		failed = problem.Is(err, problem.Unavailable)
	}
	if !failed {
		t.Error("List of a folder that is gone did not fail")
	}
	if _, err := s.Head(t.Context(), "a"); !problem.Is(err, problem.Unavailable) {
		t.Errorf("Head: %v, want Unavailable and not NotFound", err)
	}
	write(t, dir, "b", "x")
	if got := keys(t, s); len(got) != 1 || got[0] != "b" {
		t.Errorf("the folder that took its place shows %q", got)
	}
}

func TestOpenNeedsAFolder(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "file", "x")
	for url, kind := range map[string]problem.Kind{
		"file://" + dir + "/none": problem.Unavailable, "file://" + dir + "/file": problem.Unavailable, "file://host/x": problem.Invalid,
		"file://" + dir + "?x=1": problem.Invalid, "file://": problem.Invalid, "ftp://x": problem.Invalid, "": problem.Invalid, "%": problem.Invalid,
		"s3://": problem.Invalid, "s3://b?x=1": problem.Invalid, "s3://b?endpoint=x": problem.Invalid, "s3://b/path?region=r": problem.Invalid, "s3://b?s3ForcePathStyle=perhaps": problem.Invalid,
	} {
		if _, err := objectstore.Open(t.Context(), tenant.Bucket{Name: "b", URL: url}); !problem.Is(err, kind) {
			t.Errorf("Open(%q): %v, want kind %v", url, err, kind)
		}
	}
}

func TestAReaderOfAFileIsSentByTheKernel(t *testing.T) {
	dir := t.TempDir()
	content := strings.Repeat("0123456789", 100_000)
	write(t, dir, "f", content)
	s := openFolder(t, dir)
	r, o, err := s.Open(t.Context(), "f", "", 5, 500_000)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	f, ok := r.(interface{ File() *os.File })
	if !ok {
		t.Fatal("the reader of a file does not show its file")
	}
	if at, err := f.File().Seek(0, io.SeekCurrent); at != 5 || err != nil {
		t.Errorf("the file is at %d, %v, want 5", at, err)
	}
	// net's TCP connection takes *io.LimitedReader of *os.File to sendfile: what WriteTo hands it must be that.
	probe := &readerFromProbe{}
	if _, err := io.Copy(probe, r); err != nil {
		t.Fatal(err)
	}
	limited, ok := probe.got.(*io.LimitedReader)
	if !ok {
		t.Fatalf("the writer was handed %T", probe.got)
	}
	if _, ok := limited.R.(*os.File); !ok || limited.N != 500_000 {
		t.Errorf("the writer was handed %d bytes of %T", limited.N, limited.R)
	}
	if o.Size != int64(len(content)) {
		t.Errorf("the size is %d", o.Size)
	}
}

type readerFromProbe struct{ got io.Reader }

func (p *readerFromProbe) Write(b []byte) (int, error)               { return len(b), nil }
func (p *readerFromProbe) ReadFrom(r io.Reader) (n int64, err error) { p.got = r; return 0, nil }

func TestAReaderKeepsItsSizeWhenTheFileGrows(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "f", "12345")
	r, o, err := openFolder(t, dir).Open(t.Context(), "f", "", 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	write(t, dir, "f", "123456789")
	if b, err := io.ReadAll(r); len(b) != int(o.Size) || err != nil {
		t.Errorf("read %d bytes, %v, Object said %d", len(b), err, o.Size)
	}
}
