package auth

import (
	"crypto/rand"
	"crypto/rsa"
	"sync"
	"testing"
)

var oneRSAKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

func rsaKey(tb testing.TB) *rsa.PrivateKey {
	tb.Helper()
	key, err := oneRSAKey()
	if err != nil {
		tb.Fatal(err)
	}
	return key
}
