package objectstore

import (
	"bytes"
	"os"
	"testing"
)

func openNotes(t *testing.T) *checkpoints {
	t.Helper()
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	c, err := openCheckpoints(root, "note")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = c.file.Close(), root.Close() })
	return c
}

func TestATornCheckpointLeavesTheOneBefore(t *testing.T) {
	c := openNotes(t)
	for _, offset := range []int64{10, 20, 30} {
		if err := c.add(checkpoint{offset: offset, digest: []byte("state")}); err != nil {
			t.Fatal(err)
		}
	}
	if p, ok := c.last(100); !ok || p.offset != 30 {
		t.Fatalf("last is %+v, %v", p, ok)
	}
	if p, ok := c.last(25); !ok || p.offset != 20 {
		t.Errorf("of a file of 25 bytes the last is %+v, %v, want 20", p, ok)
	}
	if _, ok := c.last(5); ok {
		t.Error("a file of 5 bytes has a checkpoint")
	}
	// Serial 3 was written into slot 1: half of the next write destroys slot 0.
	if _, err := c.file.WriteAt(bytes.Repeat([]byte{7}, 100), 0); err != nil {
		t.Fatal(err)
	}
	if p, ok := c.last(100); !ok || p.offset != 30 {
		t.Errorf("after a torn write the last is %+v, %v, want 30", p, ok)
	}
}

func FuzzDecodeSlot(f *testing.F) {
	good, err := encodeSlot(checkpoint{offset: 5, digest: []byte("state")}, 1)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(make([]byte, slotSize))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		p, serial, ok := decodeSlot(b)
		if !ok {
			return
		}
		if p.offset < 0 || serial == 0 {
			t.Errorf("decoded %+v, %d", p, serial)
		}
		if again, err := encodeSlot(p, serial); err != nil {
			t.Errorf("can't be written again: %v", err)
		} else if q, _, ok := decodeSlot(again); !ok || q.offset != p.offset || !bytes.Equal(q.digest, p.digest) {
			t.Errorf("%+v came back as %+v", p, q)
		}
	})
}

func FuzzParseProgress(f *testing.F) {
	f.Add([]byte(`{"key":"k","uploadId":"u","parts":1,"offset":8388608,"sha256":"AA==","tags":"x"}`))
	f.Add([]byte(`{"offset":-1}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if p := parseProgress(b); p != nil && (p.UploadID == "" || CheckKey(p.Key) != nil) {
			t.Errorf("%q became %+v", b, p)
		}
	})
}

func FuzzCheckKey(f *testing.F) {
	for _, k := range []string{"a", "a/b", "../a", "a//b", ".tidegate/x", "ä +%", "a\\b", "x/.."} {
		f.Add(k)
	}
	f.Fuzz(func(t *testing.T, key string) {
		if CheckKey(key) != nil {
			return
		}
		dir := t.TempDir()
		root, err := os.OpenRoot(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = root.Close() }()
		if _, err := root.Lstat(key); err != nil && !os.IsNotExist(err) && checkFileKey(key) == nil && escapes(err) {
			t.Errorf("the key %q leads out of the folder", key)
		}
	})
}
