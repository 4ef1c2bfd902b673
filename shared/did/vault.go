package did

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/tidegate/tidegate/shared/problem"
)

const (
	vaultTimeout = 5 * time.Second
	maxVault     = 64 << 10 // bytes of an answer
)

// VaultKey signs with a key of a Vault transit engine, which gives no key out (Vault HTTP API, POST /v1/{mount}/sign/{key}).
type VaultKey struct {
	URL       string // of Vault
	TokenFile string // read anew for each signature
	Mount     string
	Key       string
	Version   int    // 0 = the latest
	Algorithm string // ES256, ES384 or EdDSA
	Namespace string
	HTTP      *http.Client
}

type vaultRequest struct {
	Input      string `json:"input"`
	Hash       string `json:"hash_algorithm,omitempty"`
	Marshaling string `json:"marshaling_algorithm,omitempty"`
	Version    int    `json:"key_version,omitempty"`
}

// Sign implements Signer. Its errors are of kind Unavailable: what is wrong with Vault or the token, its operator can mend.
func (k VaultKey) Sign(ctx context.Context, input func(string) []byte) ([]byte, error) {
	token, err := readLimited(k.TokenFile)
	if err != nil {
		return nil, problem.Wrap(problem.Unavailable, err, "the token of Vault can't be read")
	}
	in := vaultRequest{Input: base64.StdEncoding.EncodeToString(input(k.Algorithm)), Version: k.Version}
	size := 64
	switch k.Algorithm {
	case string(jose.ES256):
		in.Hash, in.Marshaling = "sha2-256", "jws"
	case string(jose.ES384):
		in.Hash, in.Marshaling, size = "sha2-384", "jws", 96
	case string(jose.EdDSA):
	default:
		return nil, problem.New(problem.Internal, "no algorithm %q", k.Algorithm)
	}
	signature, err := k.ask(ctx, strings.TrimSpace(string(token)), in)
	if err != nil {
		return nil, problem.Wrap(problem.Unavailable, err, "Vault did not sign")
	}
	if len(signature) != size {
		return nil, problem.New(problem.Unavailable, "Vault did not sign: its signature is of %d bytes, %s has %d", len(signature), k.Algorithm, size)
	}
	return signature, nil
}

func (k VaultKey) ask(ctx context.Context, token string, in vaultRequest) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, vaultTimeout)
	defer cancel()
	body, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, k.URL+"/v1/"+k.Mount+"/sign/"+url.PathEscape(k.Key), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Vault-Token", token)
	req.Header.Set("X-Vault-Request", "true")
	if k.Namespace != "" {
		req.Header.Set("X-Vault-Namespace", k.Namespace)
	}
	res, err := k.HTTP.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }() // read to its end or given up
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxVault))
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK { // its text may repeat what was sent
		return nil, problem.New(problem.Unavailable, "it answered %d", res.StatusCode)
	}
	return decodeVault(answer)
}

// decodeVault reads an answer: the signature is "vault:v<version>:<base64>", of the URL's alphabet if marshalled for JWS.
func decodeVault(answer []byte) ([]byte, error) {
	var out struct {
		Data struct {
			Signature string `json:"signature"`
		} `json:"data"`
	}
	if err := json.Unmarshal(answer, &out); err != nil {
		return nil, errors.New("its answer is no JSON")
	}
	parts := strings.Split(out.Data.Signature, ":")
	if len(parts) != 3 || parts[0] != "vault" || !strings.HasPrefix(parts[1], "v") {
		return nil, errors.New("its answer holds no signature")
	}
	plain := strings.NewReplacer("+", "-", "/", "_", "=", "").Replace(parts[2])
	signature, err := base64.RawURLEncoding.DecodeString(plain)
	if err != nil {
		return nil, errors.New("its signature is no base64")
	}
	return signature, nil
}
