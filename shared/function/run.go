package function

import (
	"context"
	"errors"
	stdlog "log"
	"net"
	"net/http"
	"strconv"
	"syscall"
	"time"

	"knative.dev/pkg/network/handlers"

	"github.com/tidegate/tidegate/shared/problem"
)

const (
	headerTimeout  = 10 * time.Second
	maxHeaderBytes = 64 << 10
	// quietPeriod is how long no request may come before the listener closes: who routed here before the health turned, and
	// connects only now, is still served.
	quietPeriod = 100 * time.Millisecond
	// farewell is the time that handlers have to return once their contexts have ended.
	farewell = 500 * time.Millisecond
)

// Run serves until ctx ends, then drains: health turns to 503, running handlers end, the listener closes.
func (s *Service) Run(ctx context.Context) error {
	address := net.JoinHostPort(s.cfg.Host, strconv.Itoa(s.cfg.Port))
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", address)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return problem.New(problem.Unavailable, "can't listen on %s (HOST, PORT): another process does; stop it or set another PORT", address)
	case err != nil:
		return problem.New(problem.Unavailable, "can't listen on %s (HOST, PORT): %w", address, err)
	}
	return s.Serve(ctx, ln)
}

// Serve is Run on a listener that the caller has opened; it closes it.
//
// Draining takes at most DRAIN_TIME and a farewell of half a second: probes (/healthz, /readyz, the kubelet's, Knative's) fail at once, requests
// that still come are served until it has been quiet for a moment or a quarter of the time is over, then the listener closes; what runs may finish. When the time is over the contexts of
// the handlers end, and then the connections.
func (s *Service) Serve(ctx context.Context, ln net.Listener) error {
	// Handlers outlive ctx: it tells when to stop taking work, not when to drop it.
	work, cancelWork := context.WithCancel(context.WithoutCancel(ctx))
	defer cancelWork()

	drainer := &handlers.Drainer{Inner: s.mux, HealthCheck: s.health, QuietPeriod: min(quietPeriod, max(s.cfg.DrainTime/4, time.Millisecond))}
	var unused silent
	server := &http.Server{
		Handler:           drainer,
		ConnState:         unused.track,
		BaseContext:       func(net.Listener) context.Context { return work },
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          stdlog.New(s.log.With().Str("level", "debug").Logger(), "", 0),
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(ln) }()
	s.log.Info().Str("address", ln.Addr().String()).Msg("listening")

	select {
	case err := <-served:
		return problem.Wrap(problem.Unavailable, err, "the listener on %s failed", ln.Addr())
	case <-ctx.Done():
	}
	server.RegisterOnShutdown(unused.close)
	s.drain(context.WithoutCancel(ctx), server, drainer, cancelWork)
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		s.log.Warn().Err(err).Msg("the listener failed while draining")
	}
	s.outside.CloseIdleConnections()
	s.inside.CloseIdleConnections()
	s.log.Info().Msg("stopped")
	return nil
}

func (s *Service) drain(ctx context.Context, server *http.Server, drainer *handlers.Drainer, cancelWork context.CancelFunc) {
	s.draining.Store(true)
	s.log.Info().Dur("drain_time", s.cfg.DrainTime).Msg("draining")
	limit, cancel := context.WithTimeout(ctx, s.cfg.DrainTime)
	defer cancel()

	quiet := make(chan struct{})
	go func() { drainer.Drain(); close(quiet) }()
	busy := time.NewTimer(s.cfg.DrainTime / 4) // under unending load it never gets quiet, and the rest of the time is for what runs
	defer busy.Stop()
	select {
	case <-quiet:
	case <-busy.C:
	}
	drainer.Reset()
	<-quiet

	if server.Shutdown(limit) == nil {
		return
	}
	s.log.Warn().Msg("handlers were still running when the time to drain was over: their contexts end now")
	cancelWork()
	last, cancelLast := context.WithTimeout(ctx, farewell)
	defer cancelLast()
	if server.Shutdown(last) != nil {
		_ = server.Close() // what is left is cut
	}
}
