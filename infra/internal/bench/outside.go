package bench

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/tidegate/tidegate/shared/auth"
)

// outside is what a gateway needs around it and is not measured: the identity provider of the control planes, whose keys live
// as long as the bench; control planes that take every registration; a broker that takes every event.
type outside struct {
	url    string
	signer *auth.Signer
	events atomic.Int64 // that the broker has taken
	tokens atomic.Int64 // that were signed
	server *http.Server
}

// tokenSubject is the control planes' name at the identity provider.
const tokenSubject = "bench-control-plane"

func startOutside(ctx context.Context) (*outside, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("identity provider: %w", err)
	}
	signer, err := auth.NewSigner(key)
	if err != nil {
		return nil, fmt.Errorf("identity provider: %w", err)
	}
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("identity provider: %w", err)
	}
	o := &outside{url: "http://" + ln.Addr().String(), signer: signer}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/jwk-set+json")
		_, _ = w.Write(signer.JWKS()) // the caller has gone
	})
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"access_token":"of-the-bench","token_type":"Bearer","expires_in":3600}`) // the caller has gone
	})
	mux.HandleFunc("POST /broker", func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return // not taken
		}
		o.events.Add(1)
		w.WriteHeader(http.StatusAccepted)
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // what a control plane is told does not matter here
		w.WriteHeader(http.StatusOK)
	})
	o.server = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		if err := o.server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			panic(err) // loopback does not fail by itself
		}
	}()
	return o, nil
}

func (o *outside) close() { _ = o.server.Close() } // nothing is lost

// tokenID makes the id of a token: always of the same length, so that it can be put in place of another one.
func tokenID(n int64) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", n) }

// token signs a control plane's token, with an id that no other one has.
func (o *outside) token() (token, id string, err error) {
	now := time.Now()
	id = tokenID(o.tokens.Add(1))
	token, err = o.signer.Sign(map[string]any{
		"iss": o.url, "sub": tokenSubject, "iat": now.Unix(), "exp": now.Add(10 * time.Minute).Unix(), "jti": id,
	})
	return token, id, err
}
