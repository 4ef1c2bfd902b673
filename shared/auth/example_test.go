package auth_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/tidegate/tidegate/shared/auth"
)

func ExampleSigner() {
	dir, err := os.MkdirTemp("", "signer")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)

	signer, err := auth.LoadOrCreateSigningKey(filepath.Join(dir, "key.pem"))
	if err != nil {
		panic(err)
	}
	now := time.Now()
	token, err := signer.Sign(map[string]any{
		"iss": "https://gateway.example", "sub": "did:web:consumer.example", "iat": now.Unix(), "exp": now.Add(time.Minute).Unix(),
	})
	if err != nil {
		panic(err)
	}
	claims, err := signer.Verify(token)
	fmt.Println(claims.Subject, err)
	_, err = signer.Verify(token[:len(token)-4] + "AAAA")
	fmt.Println(err)
	// Output:
	// did:web:consumer.example <nil>
	// the token is refused: its signature does not hold
}

func ExampleSharedSecret() {
	dir, err := os.MkdirTemp("", "secret")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "internal-token")
	if err := os.WriteFile(file, []byte("the-new-one-0123456789\nthe-old-one-0123456789\n"), 0o600); err != nil {
		panic(err)
	}

	secret, err := auth.NewSharedSecret(file)
	if err != nil {
		panic(err)
	}
	client := &http.Client{Transport: secret.Transport(nil)} // for calls to others
	_ = client
	header := http.Header{"Authorization": {"Bearer the-old-one-0123456789"}} // of a call to us
	token, ok := auth.Bearer(header)
	fmt.Println(ok, secret.Check(token), secret.Value())
	// Output:
	// true true the-new-one-0123456789
}
