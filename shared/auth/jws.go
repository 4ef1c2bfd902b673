package auth

import (
	"encoding/base64"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/go-jose/go-jose/v4"
	josejson "github.com/go-jose/go-jose/v4/json"
)

// jws is a JWT in compact serialization (RFC 7515, section 7.1), taken apart. Nothing of it is verified.
type jws struct {
	header    string // in base64url, as it came
	signed    string // header and payload in base64url, as they came: what the signature is over
	payload   []byte
	signature []byte
}

// header is what a JOSE header says of the signature.
type header struct {
	algorithm jose.SignatureAlgorithm
	keyID     string
}

// split takes a token apart.
func split(token string) (*jws, error) {
	if len(token) > maxToken {
		return nil, refused("it is over 16 KiB")
	}
	first := strings.IndexByte(token, '.')
	last := strings.LastIndexByte(token, '.')
	if first < 0 || first == last || strings.IndexByte(token[first+1:last], '.') >= 0 {
		return nil, errNoJWT
	}
	t := &jws{header: token[:first], signed: token[:last]}
	both := make([]byte, base64.RawURLEncoding.DecodedLen(last-first-1)+base64.RawURLEncoding.DecodedLen(len(token)-last-1))
	n, err := base64.RawURLEncoding.Decode(both, []byte(token[first+1:last]))
	if err != nil {
		return nil, errNoJWT
	}
	t.payload, both = both[:n:n], both[n:]
	if n, err = base64.RawURLEncoding.Decode(both, []byte(token[last+1:])); err != nil {
		return nil, errNoJWT
	}
	t.signature = both[:n]
	return t, nil
}

var errNoJWT = refused("it is no JWT with an accepted signature algorithm")

// readHeader reads a JOSE header (RFC 7515, section 4). Extensions that must be understood (crit) are not: none is for JWTs, and
// one that changes what is signed (RFC 7797) must not be with them.
func readHeader(text string, algs []jose.SignatureAlgorithm) (header, error) {
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return header{}, errNoJWT
	}
	var h struct {
		Algorithm jose.SignatureAlgorithm `json:"alg"`
		KeyID     string                  `json:"kid"`
		Critical  any                     `json:"crit"`
		Base64    *bool                   `json:"b64"`
	}
	// This decoder takes names by their very case, and none twice.
	if err := josejson.Unmarshal(raw, &h); err != nil || h.Critical != nil || (h.Base64 != nil && !*h.Base64) {
		return header{}, errNoJWT
	}
	if !slices.Contains(algs, h.Algorithm) {
		return header{}, errNoJWT
	}
	return header{h.Algorithm, h.KeyID}, nil
}

// headers remembers the header of the last token that was well signed: an issuer writes the same one into nearly all of its tokens.
type headers struct {
	last atomic.Pointer[rememberedHeader]
}

type rememberedHeader struct {
	text string
	header
}

func (m *headers) read(t *jws, algs []jose.SignatureAlgorithm) (header, error) {
	if l := m.last.Load(); l != nil && l.text == t.header {
		return l.header, nil
	}
	return readHeader(t.header, algs)
}

// verified remembers the header of a token whose signature holds.
func (m *headers) verified(t *jws, h header) {
	if l := m.last.Load(); l == nil || l.text != t.header {
		m.last.Store(&rememberedHeader{strings.Clone(t.header), h})
	}
}
