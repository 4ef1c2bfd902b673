// Package sandbox is a dataspace for development: a control plane that behaves like EDC-V towards Tidegate, with all
// participants in one process, and the identity provider that goes with it. It is no connector: there is no Dataspace
// Protocol on any wire, and nothing that is agreed here binds anyone.
package sandbox

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/infra/sandbox/api"
	"github.com/tidegate/tidegate/infra/sandbox/config"
	"github.com/tidegate/tidegate/infra/sandbox/engine"
	"github.com/tidegate/tidegate/infra/sandbox/events"
	"github.com/tidegate/tidegate/infra/sandbox/idp"
	"github.com/tidegate/tidegate/infra/sandbox/misbehave"
	"github.com/tidegate/tidegate/infra/sandbox/policy"
	"github.com/tidegate/tidegate/infra/sandbox/signaling"
	"github.com/tidegate/tidegate/infra/sandbox/store"
)

// Sandbox is a dataspace that is open but not yet served.
type Sandbox struct {
	Handler http.Handler

	engine *engine.Engine
	client *http.Client
	store  *store.Store
}

// Open opens the state and puts everything together. Close must follow.
func Open(c *config.Config, log zerolog.Logger) (*Sandbox, error) {
	if err := os.MkdirAll(c.StateDir, 0o700); err != nil {
		return nil, fmt.Errorf("state directory: %w", err)
	}
	st, err := store.Open(c.StateDir, c.Sync)
	if err != nil {
		return nil, err
	}
	s, err := assemble(c, st, log)
	if err != nil {
		return nil, errors.Join(err, st.Close())
	}
	return s, nil
}

func assemble(c *config.Config, st *store.Store, log zerolog.Logger) (*Sandbox, error) {
	hc := &http.Client{Transport: &http.Transport{
		MaxIdleConnsPerHost: 64, IdleConnTimeout: 30 * time.Second, TLSHandshakeTimeout: 10 * time.Second,
		DialContext: (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
	}}
	provider, err := idp.New(c, filepath.Join(c.StateDir, "idp-key.json"), hc)
	if err != nil {
		return nil, err
	}
	pol, err := policy.NewEngine()
	if err != nil {
		return nil, err
	}
	inj := misbehave.New()
	e := &engine.Engine{
		Store: st, Policies: pol, Injector: inj, Config: c, Log: log,
		Events: events.NewPublisher(c, inj, hc, log),
		Planes: signaling.NewClient(c, provider, inj, hc, log),
	}
	if err := e.Seed(); err != nil {
		e.Events.Close()
		return nil, err
	}
	server := &api.Server{Engine: e, IDP: provider, HC: hc, Log: log}
	return &Sandbox{Handler: server.Handler(), engine: e, client: hc, store: st}, nil
}

// Serve answers on the listener until the context ends, then drains for a few seconds and closes everything.
func (s *Sandbox) Serve(ctx context.Context, l net.Listener) error {
	s.engine.Start()
	srv := &http.Server{Handler: s.Handler, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	var err error
	select {
	case err = <-done:
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if serr := srv.Shutdown(drain); serr != nil {
		_ = srv.Close()
	}
	s.engine.Stop()
	s.engine.Events.Close()
	s.client.CloseIdleConnections()
	if errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	return errors.Join(err, s.store.Close())
}
