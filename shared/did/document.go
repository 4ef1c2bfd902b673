package did

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"encoding/json"
	"io"
	"strings"

	"github.com/go-jose/go-jose/v4"

	"github.com/tidegate/tidegate/shared/problem"
)

const (
	maxDocument = 64 << 10 // bytes
	maxDepth    = 16       // of nesting
	maxMethods  = 64       // verification methods
)

// Document is what is used of a DID document: the keys of its verification methods.
type Document struct {
	ID   string
	keys map[string]crypto.PublicKey // by the method's whole id
}

// Key returns the key of a verification method, named by its whole id, or by its fragment with or without "#".
func (d *Document) Key(kid string) (crypto.PublicKey, bool) {
	id, ok := methodID(d.ID, kid)
	if !ok {
		return nil, false
	}
	k, ok := d.keys[id]
	return k, ok
}

// methodID makes the whole id of a verification method of a DID. One of another DID is none.
func methodID(id, kid string) (string, bool) {
	if fragment, ok := strings.CutPrefix(kid, id+"#"); ok && fragment != "" {
		return kid, true
	}
	fragment := strings.TrimPrefix(kid, "#")
	if fragment == "" || strings.ContainsRune(fragment, '#') || strings.HasPrefix(fragment, "did:") {
		return "", false
	}
	return id + "#" + fragment, true
}

// Decode reads the document of a DID. Methods whose keys we can't use (other curves, other encodings than publicKeyJwk, another
// DID's) are left out; a document of another DID, or one in which two methods have one id, is refused.
func Decode(id string, body []byte) (*Document, error) {
	if len(body) > maxDocument {
		return nil, problem.New(problem.Upstream, "the DID document is over %d bytes", maxDocument)
	}
	if err := shallow(body); err != nil {
		return nil, err
	}
	var doc struct {
		ID      string `json:"id"`
		Methods []struct {
			ID  string          `json:"id"`
			JWK json.RawMessage `json:"publicKeyJwk"`
		} `json:"verificationMethod"`
	}
	if err := json.Unmarshal(body, &doc); err != nil {
		return nil, problem.New(problem.Upstream, "the DID document is malformed")
	}
	if doc.ID != id {
		return nil, problem.New(problem.Upstream, "the DID document is of another DID")
	}
	if len(doc.Methods) > maxMethods {
		return nil, problem.New(problem.Upstream, "the DID document has more than %d verification methods", maxMethods)
	}
	d := &Document{ID: id, keys: map[string]crypto.PublicKey{}}
	seen := map[string]bool{}
	for _, m := range doc.Methods {
		whole, ok := methodID(id, m.ID)
		if !ok {
			continue
		}
		if seen[whole] {
			return nil, problem.New(problem.Upstream, "the DID document has two verification methods of one id")
		}
		seen[whole] = true
		if key := usableKey(m.JWK); key != nil {
			d.keys[whole] = key
		}
	}
	return d, nil
}

// usableKey returns the public key of a JWK if it is EC P-256 or P-384 or Ed25519, and meant for signatures.
func usableKey(raw json.RawMessage) crypto.PublicKey {
	var k jose.JSONWebKey
	if len(raw) == 0 || json.Unmarshal(raw, &k) != nil || !k.Valid() || (k.Use != "" && k.Use != "sig") {
		return nil
	}
	switch pub := k.Key.(type) {
	case *ecdsa.PublicKey:
		if pub.Curve == elliptic.P256() || pub.Curve == elliptic.P384() {
			return pub
		}
	case ed25519.PublicKey:
		return pub
	}
	return nil // a private key in a document is a mistake that must not work
}

// shallow checks that the text is one JSON object of bounded depth.
func shallow(body []byte) error {
	dec := json.NewDecoder(bytes.NewReader(body))
	depth := 0
	for first := true; ; first = false {
		t, err := dec.Token()
		if err == io.EOF && !first && depth == 0 {
			return nil
		}
		if err != nil || (first && t != json.Delim('{')) {
			return problem.New(problem.Upstream, "the DID document is malformed")
		}
		switch t {
		case json.Delim('{'), json.Delim('['):
			if depth++; depth > maxDepth {
				return problem.New(problem.Upstream, "the DID document is nested deeper than %d levels", maxDepth)
			}
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
	}
}
