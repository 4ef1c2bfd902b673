package auth

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"math/big"
	"sync"
	"testing"
)

// rsaKeys are keys of a usual and of an unusual size.
var rsaKeys = sync.OnceValues(func() (keys []*rsa.PrivateKey, err error) {
	for _, bits := range []int{2048, 2056} {
		k, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			return nil, err
		}
		keys = append(keys, k)
	}
	return keys, nil
})

func rsaKey(tb testing.TB) *rsa.PrivateKey {
	tb.Helper()
	keys, err := rsaKeys()
	if err != nil {
		tb.Fatal(err)
	}
	return keys[0]
}

func TestAPreparedRSAKeyJudgesAsCryptoRSADoes(t *testing.T) {
	keys, err := rsaKeys()
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range keys {
		v := newRSAVerifier(&key.PublicKey)
		if v.prepared == nil {
			t.Fatalf("%d bits: the key is not prepared", key.N.BitLen())
		}
		for _, hash := range []crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512} {
			d := digest(hash, "what is signed")
			good, err := rsa.SignPKCS1v15(nil, key, hash, d)
			if err != nil {
				t.Fatal(err)
			}
			if !v.verify(hash, d, good) {
				t.Errorf("%d bits, %v: a good signature is refused", key.N.BitLen(), hash)
			}
			same := func(name string, hash crypto.Hash, d, signature []byte) {
				t.Helper()
				got, want := v.verify(hash, d, signature), rsa.VerifyPKCS1v15(&key.PublicKey, hash, d, signature) == nil
				if got || want {
					t.Errorf("%d bits, %v, %s: taken (%v, by crypto/rsa %v)", key.N.BitLen(), hash, name, got, want)
				}
			}
			for _, at := range []int{0, 1, len(good) / 2, len(good) - 1} {
				bad := append([]byte{}, good...)
				bad[at] ^= 0x10
				same("a bit changed", hash, d, bad)
			}
			same("empty", hash, d, nil)
			same("a byte short", hash, d, good[1:])
			same("a byte more", hash, d, append([]byte{0}, good...))
			same("zero", hash, d, make([]byte, len(good)))
			same("of something else", hash, digest(hash, "what is not signed"), good)
			same("a digest of another length", hash, d[1:], good)
			other := map[crypto.Hash]crypto.Hash{crypto.SHA256: crypto.SHA512, crypto.SHA384: crypto.SHA256, crypto.SHA512: crypto.SHA384}[hash]
			same("of another hash", other, digest(other, "what is signed"), good)
			if sum := new(big.Int).Add(new(big.Int).SetBytes(good), key.N); sum.BitLen() <= 8*len(good) {
				same("the modulus added", hash, d, sum.FillBytes(make([]byte, len(good))))
			}
		}
	}
}

// What decodes to another encoding than the one that must be is no signature, however much of it is right.
func TestAnRSASignatureOfAnotherEncodingIsRefused(t *testing.T) {
	key := rsaKey(t)
	v := newRSAVerifier(&key.PublicKey)
	sum := sha256.Sum256([]byte("what is signed"))
	right := encodeDigest(crypto.SHA256, sum[:], key.Size())
	raw := func(em []byte) []byte { // the private operation, on any encoding
		return new(big.Int).Exp(new(big.Int).SetBytes(em), key.D, key.N).FillBytes(make([]byte, key.Size()))
	}
	if !v.verify(crypto.SHA256, sum[:], raw(right)) {
		t.Fatal("the right encoding is refused")
	}
	tail := len(right) - len(digestInfos[crypto.SHA256]) - len(sum) - 1 // where the padding ends
	change := func(f func(em []byte) []byte) []byte { return f(append([]byte{}, right...)) }
	for name, em := range map[string][]byte{
		"another block type":    change(func(em []byte) []byte { em[1] = 2; return em }),
		"a byte of the padding": change(func(em []byte) []byte { em[5] = 0; return em }),
		"garbage behind a shortened padding": change(func(em []byte) []byte {
			short := append([]byte{0, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, em[tail:]...)
			return append(short, make([]byte, len(em)-len(short))...)
		}),
		"no algorithm":      append(append(append([]byte{0, 1}, right[2:tail]...), make([]byte, 20)...), sum[:]...),
		"another algorithm": change(func(em []byte) []byte { em[tail+15]++; return em }),
		"another digest":    change(func(em []byte) []byte { em[len(em)-1]++; return em }),
	} {
		if v.verify(crypto.SHA256, sum[:], raw(em)) {
			t.Errorf("%s: taken", name)
		}
	}
}

func TestAnUnusualRSAKeyIsLeftToCryptoRSA(t *testing.T) {
	key := rsaKey(t)
	for name, pub := range map[string]*rsa.PublicKey{
		"an even exponent": {N: key.N, E: 4}, "the exponent 1": {N: key.N, E: 1}, "an even modulus": {N: new(big.Int).Lsh(key.N, 1), E: 65537},
	} {
		v := newRSAVerifier(pub)
		if v.prepared != nil || v.verify(crypto.SHA256, digest(crypto.SHA256, "x"), make([]byte, pub.Size())) {
			t.Errorf("%s: prepared, or takes a signature", name)
		}
	}
}

func BenchmarkRS256(b *testing.B) {
	key := rsaKey(b)
	d := digest(crypto.SHA256, "what is signed")
	signature, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, d)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("prepared", func(b *testing.B) {
		v := newRSAVerifier(&key.PublicKey)
		for b.Loop() {
			if !v.verify(crypto.SHA256, d, signature) {
				b.Fatal("refused")
			}
		}
	})
	b.Run("crypto/rsa", func(b *testing.B) {
		for b.Loop() {
			if err := rsa.VerifyPKCS1v15(&key.PublicKey, crypto.SHA256, d, signature); err != nil {
				b.Fatal(err)
			}
		}
	})
}
