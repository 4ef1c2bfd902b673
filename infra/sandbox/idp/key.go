package idp

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/renameio/v2"
)

// signingKey is the one private key of the provider.
type signingKey struct {
	alg jose.SignatureAlgorithm
	jwk jose.JSONWebKey
}

func (k signingKey) SignatureAlgorithm() jose.SignatureAlgorithm { return k.alg }
func (k signingKey) Key() any                                    { return k.jwk.Key }
func (k signingKey) ID() string                                  { return k.jwk.KeyID }

func (k signingKey) public() *jose.JSONWebKeySet {
	return &jose.JSONWebKeySet{Keys: []jose.JSONWebKey{k.jwk.Public()}}
}

// loadKey reads the key, or makes one if the file is absent or holds a key for another algorithm.
func loadKey(file string, alg jose.SignatureAlgorithm) (signingKey, error) {
	b, err := os.ReadFile(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return newKey(file, alg)
	case err != nil:
		return signingKey{}, fmt.Errorf("signing key: %w", err)
	}
	var jwk jose.JSONWebKey
	if err := json.Unmarshal(b, &jwk); err != nil {
		return signingKey{}, fmt.Errorf("signing key %s is no JWK: %w", file, err)
	}
	if jwk.Algorithm != string(alg) {
		return newKey(file, alg)
	}
	return signingKey{alg: alg, jwk: jwk}, nil
}

func newKey(file string, alg jose.SignatureAlgorithm) (signingKey, error) {
	var key any
	var err error
	if alg == jose.RS256 {
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	} else {
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	if err != nil {
		return signingKey{}, fmt.Errorf("make signing key: %w", err)
	}
	jwk := jose.JSONWebKey{Key: key, Algorithm: string(alg), Use: "sig"}
	print, err := jwk.Thumbprint(crypto.SHA256)
	if err != nil {
		return signingKey{}, fmt.Errorf("make signing key: %w", err)
	}
	jwk.KeyID = base64.RawURLEncoding.EncodeToString(print)
	b, err := json.Marshal(jwk)
	if err != nil {
		return signingKey{}, fmt.Errorf("make signing key: %w", err)
	}
	if err := renameio.WriteFile(file, append(bytes.TrimSpace(b), '\n'), 0o600); err != nil {
		return signingKey{}, fmt.Errorf("write signing key: %w", err)
	}
	return signingKey{alg: alg, jwk: jwk}, nil
}
