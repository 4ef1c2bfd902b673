package objectstore

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"os"
)

// checkpoint says that so many bytes of a partial file are safe, and the state of their digest.
type checkpoint struct {
	offset int64
	digest []byte
}

const (
	slots    = 2
	slotSize = 256
	slotHead = 8 + 8 + 2 // serial, offset, length of the digest's state
	slotTail = 4         // checksum
)

// checkpoints is a file of two slots that are written in turns, so that a write that is torn by a power cut leaves the one
// before it. A slot whose checksum is wrong counts as none.
type checkpoints struct {
	file   *os.File
	serial uint64
}

func openCheckpoints(root *os.Root, name string) (*checkpoints, error) {
	f, err := root.OpenFile(name, os.O_RDWR|os.O_CREATE, fileMode)
	if err != nil {
		return nil, err
	}
	return &checkpoints{file: f}, nil
}

// last returns the latest checkpoint that a partial file of that size can have.
func (c *checkpoints) last(size int64) (checkpoint, bool) {
	var best checkpoint
	found := false
	for i := range int64(slots) {
		var b [slotSize]byte
		if _, err := c.file.ReadAt(b[:], i*slotSize); err != nil && !errors.Is(err, io.EOF) {
			continue
		}
		p, serial, ok := decodeSlot(b[:])
		if !ok {
			continue
		}
		c.serial = max(c.serial, serial)
		if p.offset <= size && (!found || p.offset > best.offset) {
			best, found = p, true
		}
	}
	return best, found
}

func (c *checkpoints) add(p checkpoint) error {
	b, err := encodeSlot(p, c.serial+1)
	if err != nil {
		return err
	}
	if _, err := c.file.WriteAt(b, int64((c.serial+1)%slots)*slotSize); err != nil {
		return err
	}
	c.serial++
	return c.file.Sync()
}

func (c *checkpoints) clear() error {
	if err := c.file.Truncate(0); err != nil {
		return err
	}
	return c.file.Sync()
}

func encodeSlot(p checkpoint, serial uint64) ([]byte, error) {
	if len(p.digest) > slotSize-slotHead-slotTail {
		return nil, errors.New("the state of the digest is too long")
	}
	b := make([]byte, slotSize)
	binary.BigEndian.PutUint64(b, serial)
	binary.BigEndian.PutUint64(b[8:], uint64(p.offset))
	binary.BigEndian.PutUint16(b[16:], uint16(len(p.digest)))
	copy(b[slotHead:], p.digest)
	binary.BigEndian.PutUint32(b[slotSize-slotTail:], crc32.ChecksumIEEE(b[:slotSize-slotTail]))
	return b, nil
}

func decodeSlot(b []byte) (p checkpoint, serial uint64, ok bool) {
	if len(b) != slotSize || binary.BigEndian.Uint32(b[slotSize-slotTail:]) != crc32.ChecksumIEEE(b[:slotSize-slotTail]) {
		return checkpoint{}, 0, false
	}
	serial = binary.BigEndian.Uint64(b)
	offset := binary.BigEndian.Uint64(b[8:])
	n := int(binary.BigEndian.Uint16(b[16:]))
	if serial == 0 || offset > 1<<62 || n > slotSize-slotHead-slotTail {
		return checkpoint{}, 0, false
	}
	return checkpoint{offset: int64(offset), digest: append([]byte(nil), b[slotHead:slotHead+n]...)}, serial, true
}
