package auth

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
)

// MAC is an authentication code of a message: HMAC-SHA256 (RFC 2104) under a key made of the secret that is sent, in base64url. Who
// reads it learns nothing of the secret.
func (s *SharedSecret) MAC(message []byte) string { return s.inForce()[0].mac(message) }

// CheckMAC tells whether the code is one of the message under any of the accepted secrets.
func (s *SharedSecret) CheckMAC(message []byte, mac string) bool {
	return s.accepts(func(l *secretLine) bool { return hmac.Equal([]byte(l.mac(message)), []byte(mac)) })
}

func (l *secretLine) mac(message []byte) string {
	h := hmac.New(sha256.New, l.macKey)
	h.Write(message)
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

// macKey derives the key of codes from a secret's digest: what serves here serves nowhere else.
func macKey(digest [sha256.Size]byte) []byte {
	derive := hmac.New(sha256.New, digest[:])
	derive.Write([]byte("tidegate event signature v1"))
	return derive.Sum(nil)
}
