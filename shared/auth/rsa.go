package auth

import (
	"bytes"
	"crypto"
	"crypto/fips140"
	"crypto/rsa"

	"filippo.io/bigmod"
)

// rsaVerifier checks RSASSA-PKCS1-v1_5 signatures (RFC 8017, section 8.2.2) by one key. crypto/rsa prepares the key anew for each
// signature, which is nearly half of a check; this keeps it prepared, in the arithmetic that crypto/rsa itself is made of.
type rsaVerifier struct {
	public   *rsa.PublicKey
	prepared *bigmod.Modulus // nil: crypto/rsa checks
}

// newRSAVerifier prepares a key. One that is out of the ordinary is left to crypto/rsa, and all are where only a validated module may be used.
func newRSAVerifier(public *rsa.PublicKey) *rsaVerifier {
	v := &rsaVerifier{public: public}
	if fips140.Enabled() || public.E < 3 || public.E&1 == 0 || int64(public.E) > 1<<31-1 || public.N.Bit(0) == 0 {
		return v
	}
	if m, err := bigmod.NewModulus(public.N.Bytes()); err == nil {
		v.prepared = m
	}
	return v
}

// digestInfos are the DER encodings that stand before a digest (RFC 8017, section 9.2, note 1).
var digestInfos = map[crypto.Hash][]byte{
	crypto.SHA256: {0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20},
	crypto.SHA384: {0x30, 0x41, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02, 0x05, 0x00, 0x04, 0x30},
	crypto.SHA512: {0x30, 0x51, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x03, 0x05, 0x00, 0x04, 0x40},
}

// verify tells whether the key has made the signature of a digest. What the signature decodes to is compared, whole, with what it must
// be: nothing of it is parsed.
func (v *rsaVerifier) verify(hash crypto.Hash, digest, signature []byte) bool {
	if v.prepared == nil {
		return rsa.VerifyPKCS1v15(v.public, hash, digest, signature) == nil
	}
	if len(signature) != v.prepared.Size() {
		return false
	}
	s, err := bigmod.NewNat().SetBytes(signature, v.prepared) // refuses what is not below the modulus
	if err != nil {
		return false
	}
	got := bigmod.NewNat().ExpShortVarTime(s, uint(v.public.E), v.prepared).Bytes(v.prepared)
	want := encodeDigest(hash, digest, len(got))
	return want != nil && bytes.Equal(got, want)
}

// encodeDigest is EMSA-PKCS1-v1_5 (RFC 8017, section 9.2); nil if it does not fit into n bytes.
func encodeDigest(hash crypto.Hash, digest []byte, n int) []byte {
	info := digestInfos[hash]
	pad := n - 3 - len(info) - len(digest)
	if info == nil || len(digest) != hash.Size() || pad < 8 {
		return nil
	}
	em := make([]byte, 0, n)
	em = append(em, 0, 1)
	for range pad {
		em = append(em, 0xff)
	}
	em = append(em, 0)
	em = append(em, info...)
	return append(em, digest...)
}
