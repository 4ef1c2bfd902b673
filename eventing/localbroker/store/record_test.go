package store

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// A damaged file must not take the broker down: any bytes are decoded or refused, and what is decoded encodes the same.
func FuzzDecodeRecord(f *testing.F) {
	r := &Record{Accepted: time.Unix(1, 2), TTL: 3, Broker: "a/b", Headers: [][2]string{{"a", "b"}}, Attributes: [][2]string{{"id", "1"}, {"type", ""}}, Data: []byte("x")}
	f.Add(r.encode())
	f.Add((&Record{}).encode())
	f.Add([]byte{recordVersion, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01})
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := decodeRecord(b)
		if err != nil {
			return
		}
		again, err := decodeRecord(r.encode())
		if err != nil {
			t.Fatalf("its own words are refused: %v", err)
		}
		if diff := cmp.Diff(r, again); diff != "" {
			t.Fatal(diff)
		}
		_, _ = r.Event() // refused or not, no panic
	})
}

func FuzzDecodeKey(f *testing.F) {
	f.Add(Key{Seq: 1, DeadLetter: true, Trigger: "a/b"}.encode())
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		if k, ok := decodeKey(b); ok && !bytes.Equal(k.encode(), b) {
			t.Fatalf("%x became %+v", b, k)
		}
	})
}
