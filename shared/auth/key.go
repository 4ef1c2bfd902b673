package auth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	_ "crypto/sha256" // the hashes of the algorithms
	_ "crypto/sha512"
	"math/big"

	"github.com/go-jose/go-jose/v4"
)

// verificationKey is a public key of a set.
type verificationKey struct {
	id        string                  // "" = none
	algorithm jose.SignatureAlgorithm // the only one that it is for; "" = any that fits
	public    crypto.PublicKey        // *ecdsa.PublicKey, ed25519.PublicKey or *rsa.PublicKey
}

// newVerificationKey returns the key of a JWK; false if it is of no use here.
func newVerificationKey(k *jose.JSONWebKey) (verificationKey, bool) {
	v := verificationKey{id: k.KeyID, algorithm: jose.SignatureAlgorithm(k.Algorithm), public: k.Key}
	switch pub := k.Key.(type) {
	case *ecdsa.PublicKey, ed25519.PublicKey:
		return v, true
	case *rsa.PublicKey:
		return v, pub.N.BitLen() >= minRSA
	}
	return v, false
}

// verify tells whether the key has made the signature (RFC 7518, section 3; RFC 8037, section 3.1). Each kind of key goes with its
// own algorithms only.
func (k *verificationKey) verify(alg jose.SignatureAlgorithm, signed string, signature []byte) bool {
	if k.algorithm != "" && k.algorithm != alg {
		return false
	}
	switch pub := k.public.(type) {
	case ed25519.PublicKey:
		return alg == jose.EdDSA && ed25519.Verify(pub, []byte(signed), signature)
	case *ecdsa.PublicKey:
		return verifyEC(pub, alg, signed, signature)
	case *rsa.PublicKey:
		use, ok := rsaAlgorithms[alg]
		switch {
		case ok && use.pss:
			return rsa.VerifyPSS(pub, use.hash, digest(use.hash, signed), signature, nil) == nil
		case ok:
			return rsa.VerifyPKCS1v15(pub, use.hash, digest(use.hash, signed), signature) == nil
		}
	}
	return false
}

// rsaAlgorithms are what an RSA key goes with (RFC 7518, sections 3.3 and 3.5).
var rsaAlgorithms = map[jose.SignatureAlgorithm]struct {
	hash crypto.Hash
	pss  bool
}{
	jose.RS256: {crypto.SHA256, false}, jose.RS384: {crypto.SHA384, false}, jose.RS512: {crypto.SHA512, false},
	jose.PS256: {crypto.SHA256, true}, jose.PS384: {crypto.SHA384, true}, jose.PS512: {crypto.SHA512, true},
}

// verifyEC checks an ECDSA signature: both numbers, one after the other, each as long as the curve's (RFC 7518, section 3.4).
func verifyEC(pub *ecdsa.PublicKey, alg jose.SignatureAlgorithm, signed string, signature []byte) bool {
	var (
		curve elliptic.Curve
		hash  crypto.Hash
		size  int
	)
	switch alg {
	case jose.ES256:
		curve, hash, size = elliptic.P256(), crypto.SHA256, 32
	case jose.ES384:
		curve, hash, size = elliptic.P384(), crypto.SHA384, 48
	case jose.ES512:
		curve, hash, size = elliptic.P521(), crypto.SHA512, 66
	default:
		return false
	}
	if pub.Curve != curve || len(signature) != 2*size {
		return false
	}
	r, s := new(big.Int).SetBytes(signature[:size]), new(big.Int).SetBytes(signature[size:])
	return ecdsa.Verify(pub, digest(hash, signed), r, s)
}

func digest(hash crypto.Hash, text string) []byte {
	h := hash.New()
	_, _ = h.Write([]byte(text)) // a hash never fails
	return h.Sum(nil)
}
