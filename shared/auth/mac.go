package auth

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
)

// MAC is an authentication code of a message: HMAC-SHA256 (RFC 2104) under a key made of the secret that is sent, in base64url. Who
// reads it learns nothing of the secret.
func (s *SharedSecret) MAC(message []byte) string {
	s.refresh()
	s.mu.RLock()
	defer s.mu.RUnlock()
	return code(s.digest[0], message)
}

// CheckMAC tells whether the code is one of the message under any of the accepted secrets.
func (s *SharedSecret) CheckMAC(message []byte, mac string) bool {
	s.refresh()
	s.mu.RLock()
	defer s.mu.RUnlock()
	ok := false
	for _, d := range s.digest {
		ok = hmac.Equal([]byte(code(d, message)), []byte(mac)) || ok
	}
	return ok
}

// code is the MAC under a key derived from a secret's digest: what serves here serves nowhere else.
func code(digest [sha256.Size]byte, message []byte) string {
	derive := hmac.New(sha256.New, digest[:])
	derive.Write([]byte("tidegate event signature v1"))
	h := hmac.New(sha256.New, derive.Sum(nil))
	h.Write(message)
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}
