package objectstore

import (
	"crypto/sha256"
	"encoding"
	"encoding/hex"
	"errors"
	"hash"
)

// digest is a SHA-256 whose state can be kept and taken up again, so that a resumed upload need not read what it has.
type digest struct{ h hash.Hash }

func newDigest() digest { return digest{sha256.New()} }

func (d digest) Write(p []byte) (int, error) { return d.h.Write(p) }

func (d digest) hex() string { return hex.EncodeToString(d.h.Sum(nil)) }

// state is what restore takes.
func (d digest) state() []byte {
	m, ok := d.h.(encoding.BinaryMarshaler)
	if !ok {
		return nil // sha256 is one (documented in crypto/sha256)
	}
	b, err := m.MarshalBinary()
	if err != nil {
		return nil
	}
	return b
}

func restoreDigest(state []byte) (digest, error) {
	d := newDigest()
	u, ok := d.h.(encoding.BinaryUnmarshaler)
	if !ok || len(state) == 0 {
		return d, errors.New("no state of a digest")
	}
	if err := u.UnmarshalBinary(state); err != nil {
		return newDigest(), err
	}
	return d, nil
}
