// Package localbroker is a CloudEvents broker for one machine. It stands where Knative Eventing stands in a cluster: it reads
// the same Broker, Trigger and PingSource manifests, takes events at the same path with the same answers, and delivers them
// by the same rules, with events on disk from the 202 until a subscriber or the dead letter sink has taken them.
//
// The parts: manifest reads YAML, filter decides who gets what, store keeps it, delivery delivers it, ingress takes it in,
// ping sends the schedules.
package localbroker

import (
	"context"
	"encoding/json"
	"errors"
	stdlog "log"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/eventing/localbroker/delivery"
	"github.com/tidegate/tidegate/eventing/localbroker/ingress"
	"github.com/tidegate/tidegate/eventing/localbroker/manifest"
	"github.com/tidegate/tidegate/eventing/localbroker/ping"
	"github.com/tidegate/tidegate/eventing/localbroker/store"
	"github.com/tidegate/tidegate/shared/auth"
	"github.com/tidegate/tidegate/shared/problem"
)

// Secret is the bearer secret of calls inside the deployment; *auth.SharedSecret is one.
type Secret interface {
	Value() string
	Check(token string) bool
}

// Broker is a broker that has read its configuration and its store, and listens.
type Broker struct {
	cfg        *Config
	log        zerolog.Logger
	secret     Secret
	store      *store.Store
	dispatcher *delivery.Dispatcher
	pings      *ping.Runner
	listener   net.Listener
	server     *http.Server
	stopping   atomic.Bool
}

// New reads the manifests, opens the store and listens. Its errors are one line each. Without an error, Run must follow.
func New(ctx context.Context, cfg *Config, secret Secret, log zerolog.Logger) (_ *Broker, err error) {
	set, err := manifest.LoadDirs(cfg.ManifestsDirs...)
	if err != nil {
		return nil, err
	}
	subscribers, err := delivery.ParseSubscribers(cfg.Subscribers)
	if err != nil {
		return nil, problem.Field("SUBSCRIBERS", "%w", err)
	}
	b := &Broker{cfg: cfg, log: log, secret: secret}
	defer func() {
		if err != nil {
			b.close()
		}
	}()
	if b.store, err = store.Open(cfg.DataDir); err != nil {
		return nil, problem.Field("DATA_DIR", "%w", err)
	}
	b.dispatcher, err = delivery.New(set, subscribers, b.store, secret, delivery.Options{
		Concurrency: cfg.Concurrency, Timeout: cfg.Timeout, ConnectPatience: cfg.ConnectPatience,
		RetryAfterMax: cfg.RetryAfterMax, MaxReply: cfg.MaxEventBytes,
	}, log)
	if err != nil {
		return nil, err
	}
	if b.pings, err = ping.New(set.Pings, b.dispatcher, log); err != nil {
		return nil, err
	}
	address := net.JoinHostPort(cfg.Host, strconv.Itoa(cfg.Port))
	if b.listener, err = (&net.ListenConfig{}).Listen(ctx, "tcp", address); err != nil {
		return nil, problem.New(problem.Conflict, "HOST and PORT: can't listen on %s: %w", address, err)
	}
	b.server = &http.Server{
		Handler:           b.routes(),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          stdlog.New(log, "", 0),
	}
	backlog, _ := b.store.Backlog()
	log.Info().Str("address", b.Address()).Int("brokers", len(set.Brokers)).Int("triggers", len(set.Triggers)).
		Int("ping_sources", len(set.Pings)).Int64("backlog", backlog).Msg("broker listens")
	return b, nil
}

// Address is where the broker listens: host:port.
func (b *Broker) Address() string { return b.listener.Addr().String() }

// Run serves until ctx ends. Then it takes no more events, gives deliveries under way the grace time to end, and closes the
// store. What is not delivered by then is delivered after the next start.
func (b *Broker) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	failed := make(chan error, 1)
	go func() {
		if err := b.server.Serve(b.listener); !errors.Is(err, http.ErrServerClosed) {
			failed <- err
			cancel()
		}
	}()
	var parts sync.WaitGroup
	parts.Go(func() { b.pings.Run(ctx) })
	parts.Go(func() { b.dispatcher.Run(ctx, b.cfg.Grace) })
	<-ctx.Done()
	b.stopping.Store(true)
	down, cancelDown := context.WithTimeout(context.WithoutCancel(ctx), max(b.cfg.Grace, 100*time.Millisecond))
	defer cancelDown()
	if err := b.server.Shutdown(down); err != nil {
		_ = b.server.Close() // publishers that stall lose their connection; they got no 202
	}
	parts.Wait()
	b.close()
	select {
	case err := <-failed:
		return problem.New(problem.Internal, "serving: %w", err)
	default:
		return nil
	}
}

func (b *Broker) close() {
	if b.listener != nil {
		_ = b.listener.Close() // closed by Shutdown already, or never served
	}
	if b.store != nil {
		if err := b.store.Close(); err != nil {
			b.log.Error().Err(err).Msg("the store is not closed cleanly")
		}
	}
}

func (b *Broker) routes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", ingress.New(b.dispatcher, b.secret, ingress.Limits{
		EventBytes: b.cfg.MaxEventBytes, Backlog: b.cfg.MaxBacklog, BacklogBytes: b.cfg.MaxBacklogBytes,
	}, b.log))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if b.stopping.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("GET /stats", b.stats)
	return mux
}

// stats shows the figures of delivery.Stats, and the ticks left out.
func (b *Broker) stats(w http.ResponseWriter, r *http.Request) {
	if token, ok := auth.Bearer(r.Header); !ok || !b.secret.Check(token) {
		w.Header().Set("WWW-Authenticate", "Bearer")
		problem.Write(w, &b.log, http.StatusUnauthorized, problem.New(problem.Unauthenticated, "no valid bearer token"))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	err := json.NewEncoder(w).Encode(struct {
		delivery.Stats
		TicksSkipped int64 `json:"ticksSkipped"`
	}{b.dispatcher.Stats(), b.pings.Skipped()})
	if err != nil {
		b.log.Debug().Err(err).Msg("stats not sent")
	}
}
