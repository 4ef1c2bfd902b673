package auth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const pemType = "PRIVATE KEY" // PKCS#8

var ourAlgorithm = []jose.SignatureAlgorithm{jose.ES256}

// Signer signs JWTs with an EC P-256 key (ES256) and verifies them again. With several keys the first signs and all
// verify: to rotate, put the new key second and restart every replica, then first and restart, and remove the old one when
// the last token that it signed has expired. Safe for concurrent use.
type Signer struct {
	private *ecdsa.PrivateKey
	header  string                      // of what it signs, with the dot behind it
	keys    map[string]*ecdsa.PublicKey // by key id
	jwks    []byte
	headers headers
}

// LoadOrCreateSigningKey reads the PEM file (PKCS#8, EC P-256, one or several blocks). If there is none, it makes one with a
// new key, readable for its owner only. Of several processes that make it at once, one wins and all get the same key.
func LoadOrCreateSigningKey(file string) (*Signer, error) {
	s, err := LoadSigningKey(file)
	if !errors.Is(err, fs.ErrNotExist) {
		return s, err
	}
	if err := createSigningKey(file); err != nil {
		return nil, fmt.Errorf("signing key: %w", err)
	}
	return LoadSigningKey(file)
}

// LoadSigningKey reads the PEM file as LoadOrCreateSigningKey does, but makes none.
func LoadSigningKey(file string) (*Signer, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("signing key: %w", err)
	}
	keys, err := parseKeys(text)
	if err != nil {
		return nil, fmt.Errorf("signing key %s: %w", file, err)
	}
	return NewSigner(keys...)
}

// NewSigner returns a signer with keys of the curve P-256; the first signs, all verify.
func NewSigner(keys ...*ecdsa.PrivateKey) (*Signer, error) {
	if len(keys) == 0 {
		return nil, errors.New("signer: no key")
	}
	s := &Signer{keys: map[string]*ecdsa.PublicKey{}}
	var set jose.JSONWebKeySet
	for i, k := range keys {
		if k.Curve != elliptic.P256() {
			return nil, fmt.Errorf("signer: key %d: its curve is %s, want P-256", i+1, k.Curve.Params().Name)
		}
		jwk := jose.JSONWebKey{Key: &k.PublicKey, Algorithm: string(jose.ES256), Use: "sig"}
		sum, err := jwk.Thumbprint(crypto.SHA256)
		if err != nil {
			return nil, fmt.Errorf("signer: key %d: %w", i+1, err)
		}
		jwk.KeyID = base64.RawURLEncoding.EncodeToString(sum)
		if _, twice := s.keys[jwk.KeyID]; twice {
			continue
		}
		s.keys[jwk.KeyID] = &k.PublicKey
		set.Keys = append(set.Keys, jwk)
	}
	header, err := json.Marshal(map[string]string{"alg": string(jose.ES256), "kid": set.Keys[0].KeyID, "typ": "JWT"})
	if err != nil {
		return nil, fmt.Errorf("signer: %w", err)
	}
	s.private, s.header = keys[0], base64.RawURLEncoding.EncodeToString(header)+"."
	if s.jwks, err = json.Marshal(set); err != nil {
		return nil, fmt.Errorf("signer: %w", err)
	}
	return s, nil
}

// Sign returns a JWT of the claims, which must be a JSON object; the caller sets them all, exp and iat too (as Unix seconds). Its header
// names the key by its RFC 7638 thumbprint.
func (s *Signer) Sign(claims any) (string, error) {
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("signing a token: %w", err)
	}
	token := make([]byte, 0, len(s.header)+base64.RawURLEncoding.EncodedLen(len(payload))+1+base64.RawURLEncoding.EncodedLen(2*sizeP256))
	token = base64.RawURLEncoding.AppendEncode(append(token, s.header...), payload)
	sum := sha256.Sum256(token)
	r, v, err := ecdsa.Sign(rand.Reader, s.private, sum[:])
	if err != nil {
		return "", fmt.Errorf("signing a token: %w", err)
	}
	var signature [2 * sizeP256]byte
	r.FillBytes(signature[:sizeP256])
	v.FillBytes(signature[sizeP256:])
	return string(base64.RawURLEncoding.AppendEncode(append(token, '.'), signature[:])), nil
}

// sizeP256 is how long a number of the curve P-256 is, in bytes.
const sizeP256 = 32

// Verify checks that one of our keys signed the token, and its times (without leeway: we wrote them by the same clock). The
// caller checks issuer, audience and the rest. Its error is of kind Unauthenticated.
func (s *Signer) Verify(token string) (*Claims, error) {
	return s.verify(token, clockStep)
}

// VerifyExpired is Verify for a token whose end does not matter, up to a very long time ago.
func (s *Signer) VerifyExpired(token string) (*Claims, error) { return s.verify(token, longAgo) }

func (s *Signer) verify(token string, leeway time.Duration) (*Claims, error) {
	t, err := ReadToken(token)
	if err != nil {
		return nil, err
	}
	h, err := s.headers.read(t.jws, ourAlgorithm)
	if err != nil {
		return nil, err
	}
	key, ok := s.keys[h.keyID]
	if !ok {
		return nil, refused("it is signed by no key of ours")
	}
	if !verifyEC(key, h.algorithm, t.jws.signed, t.jws.signature) {
		return nil, refused("its signature does not hold")
	}
	s.headers.verified(t.jws, h)
	if err := t.claims.inTime(time.Now(), leeway); err != nil {
		return nil, err
	}
	return t.claims, nil
}

// longAgo is how old a token may be for VerifyExpired.
const longAgo = 10 * 365 * 24 * time.Hour

// clockStep is what the clocks of our own replicas may differ by.
const clockStep = time.Second

// JWKS returns the public keys as a JWK set (RFC 7517). The caller must not change it.
func (s *Signer) JWKS() []byte { return s.jwks }

func parseKeys(text []byte) ([]*ecdsa.PrivateKey, error) {
	var keys []*ecdsa.PrivateKey
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		if block.Type != pemType {
			return nil, fmt.Errorf("block %d is a %q, want %q (PKCS#8)", len(keys)+1, block.Type, pemType)
		}
		key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("block %d is no PKCS#8 key", len(keys)+1) // the cause may hold parts of the key
		}
		ec, ok := key.(*ecdsa.PrivateKey)
		if !ok {
			return nil, fmt.Errorf("block %d is a %T, want an EC key", len(keys)+1, key)
		}
		keys = append(keys, ec)
	}
	if len(keys) == 0 {
		return nil, errors.New("holds no PEM block")
	}
	return keys, nil
}

// createSigningKey writes the whole file under another name and links it in place, which fails if somebody was faster:
// nobody ever reads half a key, and no key that is in use is replaced.
func createSigningKey(file string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(file), ".signing-key-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(tmp.Name()) }() // it has its place by then, or is of no use
	err = errors.Join(pem.Encode(tmp, &pem.Block{Type: pemType, Bytes: der}), tmp.Sync(), tmp.Close())
	if err != nil {
		return err
	}
	if err := os.Link(tmp.Name(), file); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}
