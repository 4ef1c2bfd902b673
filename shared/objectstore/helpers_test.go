package objectstore_test

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"strings"
	"testing"

	"github.com/tidegate/tidegate/shared/objectstore"
)

func newReader(s string) io.Reader { return strings.NewReader(s) }

func sumOf(t *testing.T, s objectstore.Store, key string) string {
	t.Helper()
	r, _, err := s.Open(t.Context(), key, "", 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	h := sha256.New()
	if _, err := io.Copy(h, r); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(h.Sum(nil))
}

func sumOfContent(n int64) string {
	h := sha256.New()
	_, _ = io.Copy(h, io.LimitReader(&counter{said: 1 << 62}, n)) // a hash never fails
	return hex.EncodeToString(h.Sum(nil))
}

func sumOfBytes(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}
