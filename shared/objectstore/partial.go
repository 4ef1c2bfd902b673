package objectstore

import (
	"crypto/sha256"
	"encoding/hex"
	"path"
)

// PartialFile is the key-like path, relative to a folder's root, of the file that takes the bytes of an upload until its
// Commit. Its size is how much has arrived: something to show to a person who waits, and nothing else.
func PartialFile(id string) string {
	h := sha256.Sum256([]byte(id))
	return path.Join(private, hex.EncodeToString(h[:16])+".part")
}
