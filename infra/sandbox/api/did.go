package api

import (
	"crypto"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"os"

	"github.com/go-jose/go-jose/v4"

	"github.com/tidegate/tidegate/infra/sandbox/config"
)

// didDocument serves the DID document of a participant whose configuration names a key. The file is read each time: replacing it
// rotates the key.
func (s *Server) didDocument(w http.ResponseWriter, r *http.Request) {
	p := s.participantWithKey(r.PathValue("pc"))
	if p == nil {
		htmlError(w, r, http.StatusNotFound)
		return
	}
	key, err := publicKey(p.DIDKeyFile)
	if err != nil {
		s.Log.Warn().Err(err).Str("participant", p.ID).Msg("no DID document")
		htmlError(w, r, http.StatusInternalServerError)
		return
	}
	id := p.Identity + "#key-1"
	writeJSON(w, http.StatusOK, map[string]any{
		"@context":           []string{"https://www.w3.org/ns/did/v1", "https://w3id.org/security/suites/jws-2020/v1"},
		"id":                 p.Identity,
		"verificationMethod": []any{map[string]any{"id": id, "type": "JsonWebKey2020", "controller": p.Identity, "publicKeyJwk": key}},
		"authentication":     []string{id},
		"assertionMethod":    []string{id},
	})
}

func (s *Server) participantWithKey(id string) *config.Participant {
	for i := range s.Engine.Config.Participants {
		if p := &s.Engine.Config.Participants[i]; p.ID == id && p.DIDKeyFile != "" {
			return p
		}
	}
	return nil
}

// publicKey is the public part of a key in a file.
func publicKey(file string) (*jose.JSONWebKey, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var k jose.JSONWebKey
	block, _ := pem.Decode(text)
	switch {
	case block == nil:
		if json.Unmarshal(text, &k) != nil {
			return nil, errors.New("it is neither PEM nor a JWK")
		}
		k = k.Public()
	case block.Type == "PUBLIC KEY":
		if k.Key, err = x509.ParsePKIXPublicKey(block.Bytes); err != nil {
			return nil, errors.New("its PEM block is no public key")
		}
	default:
		private, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			return nil, errors.New("its PEM block is no PKCS#8 key") // the cause may hold parts of the key
		}
		if signer, ok := private.(crypto.Signer); ok {
			k.Key = signer.Public()
		}
	}
	if !k.Valid() || !k.IsPublic() {
		return nil, errors.New("it holds no key that can be published")
	}
	return &k, nil
}
