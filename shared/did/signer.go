package did

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	_ "crypto/sha256" // the digests that the algorithms need
	_ "crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"os"

	"github.com/go-jose/go-jose/v4"

	"github.com/tidegate/tidegate/shared/problem"
)

// Signer makes signatures with a key of a DID document.
type Signer interface {
	// Sign returns the signature of the text that input makes of the key's algorithm (its name in JWS), in the form of JWS
	// (RFC 7518, section 3.4: r and s; RFC 8037, section 3.1).
	Sign(ctx context.Context, input func(algorithm string) []byte) (signature []byte, err error)
}

// SignAssertion returns a JWT of the claims whose header names the key by the id of its verification method.
func SignAssertion(ctx context.Context, s Signer, kid string, claims map[string]any) (string, error) {
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", problem.Wrap(problem.Internal, err, "the claims can't be encoded")
	}
	var text []byte
	signature, err := s.Sign(ctx, func(algorithm string) []byte {
		header, _ := json.Marshal(map[string]string{"alg": algorithm, "kid": kid, "typ": "JWT"}) // of strings: cannot fail
		text = base64.RawURLEncoding.AppendEncode(nil, header)
		text = base64.RawURLEncoding.AppendEncode(append(text, '.'), payload)
		return text
	})
	if err != nil {
		return "", err
	}
	return string(base64.RawURLEncoding.AppendEncode(append(text, '.'), signature)), nil
}

const maxKeyFile = 64 << 10 // bytes

// FileKey signs with a private key in a file: PEM (PKCS#8) or JWK, EC P-256, EC P-384 or Ed25519. The file is read anew for each
// signature, so that the key can be replaced at any time. Errors hold nothing of it.
type FileKey struct{ File string }

// Sign implements Signer.
func (k FileKey) Sign(_ context.Context, input func(string) []byte) ([]byte, error) {
	text, err := readLimited(k.File)
	if err != nil {
		return nil, problem.Wrap(problem.Unavailable, err, "the key that signs can't be read")
	}
	key, err := parsePrivate(text)
	if err != nil {
		return nil, problem.Wrap(problem.Unavailable, err, "the key that signs can't be used")
	}
	return signWith(key, input)
}

func readLimited(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // it was only read
	return io.ReadAll(io.LimitReader(f, maxKeyFile))
}

func parsePrivate(text []byte) (crypto.Signer, error) {
	var key any
	if block, _ := pem.Decode(text); block != nil {
		k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			return nil, errors.New("its PEM block is no PKCS#8 key") // the cause may hold parts of the key
		}
		key = k
	} else {
		var jwk jose.JSONWebKey
		if json.Unmarshal(text, &jwk) != nil {
			return nil, errors.New("it is neither PEM nor a JWK")
		}
		key = jwk.Key
	}
	switch k := key.(type) {
	case *ecdsa.PrivateKey:
		if k.Curve == elliptic.P256() || k.Curve == elliptic.P384() {
			return k, nil
		}
	case ed25519.PrivateKey:
		return k, nil
	}
	return nil, errors.New("it is no private key of EC P-256, EC P-384 or Ed25519")
}

func signWith(key crypto.Signer, input func(string) []byte) ([]byte, error) {
	algorithm := algorithmOf(key.Public())
	text := input(algorithm)
	k, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return key.Sign(nil, text, crypto.Hash(0))
	}
	hash, size := crypto.SHA256, 32
	if algorithm == string(jose.ES384) {
		hash, size = crypto.SHA384, 48
	}
	h := hash.New()
	_, _ = h.Write(text) // a hash never fails
	r, s, err := ecdsa.Sign(rand.Reader, k, h.Sum(nil))
	if err != nil {
		return nil, problem.Wrap(problem.Internal, err, "signing")
	}
	out := make([]byte, 2*size)
	r.FillBytes(out[:size])
	s.FillBytes(out[size:])
	return out, nil
}
