package objectstoretest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/tidegate/tidegate/shared/objectstore"
	"github.com/tidegate/tidegate/shared/problem"
)

// AtMostLost is how many bytes a resumed upload may have to be given again: a part, or the time between two syncs.
const AtMostLost = 16 << 20

func sortStrings(s []string) { slices.Sort(s) }

func upload(t *testing.T, s objectstore.Store, key, id string, state json.RawMessage) objectstore.Upload {
	t.Helper()
	u, err := s.Upload(t.Context(), key, id, "application/octet-stream", state)
	if err != nil {
		t.Fatalf("Upload(%q, %q): %v", key, id, err)
	}
	return u
}

func feed(t *testing.T, u objectstore.Upload, b []byte) {
	t.Helper()
	if n, err := u.ReadFrom(t.Context(), bytes.NewReader(b)); err != nil || n != int64(len(b)) {
		t.Fatalf("ReadFrom: %d, %v, want %d", n, err, len(b))
	}
}

func commit(t *testing.T, s objectstore.Store, u objectstore.Upload, key string, want []byte) {
	t.Helper()
	if u.Offset() != int64(len(want)) || u.SHA256() != digest(want) {
		t.Errorf("before Commit: offset %d, digest %s, want %d, %s", u.Offset(), u.SHA256(), len(want), digest(want))
	}
	o, err := u.Commit(t.Context())
	if err != nil {
		t.Fatalf("Commit: %v", err)
	}
	head, err := s.Head(t.Context(), key)
	if err != nil || o.Key != key || o.Size != int64(len(want)) || o.ETag != head.ETag {
		t.Errorf("Commit says %+v, Head says %+v, %v", o, head, err)
	}
	if got := read(t, s, key); got != string(want) {
		t.Errorf("%q has %d bytes after Commit that are not what was written", key, len(got))
	}
	if err := u.Close(); err != nil {
		t.Errorf("Close after Commit: %v", err)
	}
}

func testUpload(t *testing.T, s objectstore.Store) {
	t.Helper()
	want := random(1, 21<<20+17)
	put(t, s, "up/loaded.bin", "the old one")
	u := upload(t, s, "up/loaded.bin", "flow-1", nil)
	if u.Offset() != 0 || u.SHA256() != digest(nil) {
		t.Errorf("a new upload starts at %d, %s", u.Offset(), u.SHA256())
	}
	for b := range slices.Chunk(want, 5<<20+1) {
		feed(t, u, b)
	}
	if got := read(t, s, "up/loaded.bin"); got != "the old one" {
		t.Errorf("before Commit the key shows %.20q", got)
	}
	commit(t, s, u, "up/loaded.bin", want)

	small := []byte("a few bytes")
	u = upload(t, s, "small", "flow-2", nil)
	feed(t, u, small[:3])
	feed(t, u, small[3:])
	commit(t, s, u, "small", small)

	u = upload(t, s, "small", "flow-2", nil) // the same id once more: it has forgotten what it committed
	if u.Offset() != 0 {
		t.Errorf("an upload that was committed is still at %d", u.Offset())
	}
	feed(t, u, small[:5])
	commit(t, s, u, "small", small[:5])
}

func testEmptyUpload(t *testing.T, s objectstore.Store) {
	t.Helper()
	u := upload(t, s, "empty/file", "flow-e", nil)
	commit(t, s, u, "empty/file", nil)
	u = upload(t, s, "empty/file2", "flow-f", nil)
	feed(t, u, nil)
	commit(t, s, u, "empty/file2", nil)
}

func testResume(t *testing.T, s objectstore.Store, reopen func(*testing.T) objectstore.Store, withState bool) {
	t.Helper()
	want := random(2, 60<<20+5)
	const key = "resumed/ä +%.bin"
	var state json.RawMessage
	// The process ends at these offsets; twice within the same part.
	for _, end := range []int{1, 7 << 20, 25 << 20, 25<<20 + 3, 48 << 20} {
		u := upload(t, s, key, "flow-r", state)
		at := int(u.Offset())
		if at > end {
			t.Fatalf("resumed at %d, %d were written", at, end)
		}
		if lost := end - at; end == 25<<20+3 && lost > AtMostLost {
			t.Errorf("resuming at %d lost %d bytes", at, lost)
		}
		if got := u.SHA256(); got != digest(want[:at]) {
			t.Fatalf("resumed at %d with the digest %s, want %s", at, got, digest(want[:at]))
		}
		feed(t, u, want[at:end])
		if withState {
			state = u.State()
		}
		if err := u.Close(); err != nil {
			t.Fatal(err)
		}
		s = reopen(t)
	}
	u := upload(t, s, key, "flow-r", state)
	at := int(u.Offset())
	if at < 48<<20-AtMostLost {
		t.Errorf("resumed at %d, more than %d bytes were lost", at, AtMostLost)
	}
	feed(t, u, want[at:])
	commit(t, s, u, key, want)

	// A state that outlived its upload leads to nothing.
	u = upload(t, s, key, "flow-r", state)
	if u.Offset() != 0 {
		t.Errorf("after Commit an old state resumes at %d", u.Offset())
	}
	feed(t, u, want[:100])
	commit(t, s, u, key, want[:100])

	for _, garbage := range []json.RawMessage{json.RawMessage(`{}`), json.RawMessage(`null`), json.RawMessage(`[1`), json.RawMessage(`{"offset":-5,"uploadId":"x"}`)} {
		u = upload(t, s, key, "flow-g", garbage)
		if u.Offset() != 0 || u.SHA256() != digest(nil) {
			t.Errorf("the state %s starts at %d", garbage, u.Offset())
		}
		if err := u.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func testReset(t *testing.T, s objectstore.Store, reopen func(*testing.T) objectstore.Store) {
	t.Helper()
	old, want := random(4, 30<<20), random(5, 20<<20)
	u := upload(t, s, "reset", "flow-x", nil)
	feed(t, u, old)
	state := u.State()
	if err := u.Reset(t.Context()); err != nil {
		t.Fatalf("Reset: %v", err)
	}
	if u.Offset() != 0 || u.SHA256() != digest(nil) {
		t.Errorf("after Reset: offset %d, digest %s", u.Offset(), u.SHA256())
	}
	feed(t, u, want[:17<<20])
	if err := u.Close(); err != nil {
		t.Fatal(err)
	}
	u = upload(t, reopen(t), "reset", "flow-x", state) // of before Reset
	at := int(u.Offset())
	if at > 17<<20 || u.SHA256() != digest(want[:at]) {
		t.Fatalf("resumed at %d with the digest %s, want that of the new content", at, u.SHA256())
	}
	feed(t, u, want[at:])
	commit(t, s, u, "reset", want)
}

func testBrokenReader(t *testing.T, s objectstore.Store) {
	t.Helper()
	want := random(6, 20<<20)
	broke := errors.New("the connection broke")
	u := upload(t, s, "broken", "flow-b", nil)
	n, err := u.ReadFrom(t.Context(), io.MultiReader(bytes.NewReader(want[:18<<20]), iotest.ErrReader(broke)))
	if !errors.Is(err, broke) || n != 18<<20 {
		t.Errorf("ReadFrom of a reader that broke: %d, %v", n, err)
	}
	at := u.Offset()
	if at < 18<<20-AtMostLost || u.SHA256() != digest(want[:at]) {
		t.Errorf("kept %d bytes, want nearly all of %d", at, 18<<20)
	}
	feed(t, u, want[at:])
	commit(t, s, u, "broken", want)
}

// endless gives bytes until its context is ended by the test.
type endless struct {
	n      int64
	cancel context.CancelFunc
}

func (e *endless) Read(p []byte) (int, error) {
	if e.n += int64(len(p)); e.n > 20<<20 {
		e.cancel()
	}
	return len(p), nil
}

func testCancelled(t *testing.T, s objectstore.Store) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	u := upload(t, s, "cancelled", "flow-c", nil)
	n, err := u.ReadFrom(ctx, &endless{cancel: cancel})
	if !problem.Is(err, problem.Unavailable) || !errors.Is(err, context.Canceled) {
		t.Errorf("ReadFrom after its context ended: %v, want Unavailable", err)
	}
	if at := u.Offset(); at < n-AtMostLost || at == 0 {
		t.Errorf("kept %d of %d bytes", at, n)
	}
	if err := u.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	u = upload(t, s, "cancelled", "flow-c", nil)
	if u.Offset() < n-AtMostLost {
		t.Errorf("resumed at %d of %d", u.Offset(), n)
	}
	if err := u.Reset(t.Context()); err != nil {
		t.Errorf("Reset: %v", err)
	}
	if err := u.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

func testInvisible(t *testing.T, s objectstore.Store) {
	t.Helper()
	put(t, s, "seen", "x")
	a, b := upload(t, s, "hidden-a", "flow-1", nil), upload(t, s, "hidden-b", "flow-2", nil)
	feed(t, a, random(7, 9<<20))
	feed(t, b, random(8, 9<<20))
	for _, prefix := range []string{"", ".", ".tidegate", ".tidegate/", "hidden"} {
		want := []string{}
		if prefix == "" {
			want = []string{"seen"}
		}
		if diff := cmp.Diff(want, list(t, s, prefix, "")); diff != "" {
			t.Errorf("List(%q) differs (-want +got):\n%s", prefix, diff)
		}
	}
	for _, u := range []objectstore.Upload{a, b} {
		if err := u.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	if a, b := upload(t, s, "hidden-a", "flow-1", nil), upload(t, s, "hidden-b", "flow-2", nil); a.SHA256() == b.SHA256() {
		t.Error("two uploads share their bytes")
	} else {
		_, _ = a.Close(), b.Close()
	}
}
