package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// outside is what a gateway needs around it and is not measured: the identity provider of the control planes, whose keys live
// as long as the bench; control planes that take every registration; a broker that takes every event.
type outside struct {
	*issuer

	broker *broker
	server *http.Server
}

// tokenSubject is the control planes' name at the identity provider.
const tokenSubject = "bench-control-plane"

func startOutside(ctx context.Context) (*outside, error) {
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("identity provider: %w", err)
	}
	o := &outside{}
	if o.issuer, err = newIssuer("http://" + ln.Addr().String()); err == nil {
		o.broker, err = startBroker(ctx)
	}
	if err != nil {
		_ = ln.Close() // never served
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/jwk-set+json")
		_, _ = w.Write(o.jwks) // the caller has gone
	})
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"access_token":"of-the-bench","token_type":"Bearer","expires_in":3600}`) // the caller has gone
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

func (o *outside) close() {
	_ = o.server.Close() // nothing is lost
	o.broker.close()
}
