package gateway

import (
	"context"
	"errors"
	"log"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/shared/problem"
)

const (
	headerTime  = 10 * time.Second // to send the header of a request
	bodyTime    = time.Minute      // to send all of it, where requests have bodies
	answerTime  = 3 * time.Minute  // to answer, where answers are small
	idleTime    = 2 * time.Minute
	headerBytes = 64 << 10
)

// listener is one of the gateway's servers.
type listener struct {
	setting string // the variable that sets its address
	ln      net.Listener
	server  *http.Server
}

// listen opens an address. What the operator must mend is said with the variable's name.
func listen(ctx context.Context, setting, addr string) (net.Listener, error) {
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, problem.Field(setting, "%s is in use by another process", addr)
	}
	if err != nil {
		return nil, problem.Field(setting, "%s can't be listened on: %w", addr, err)
	}
	return ln, nil
}

// newServer returns a server for small requests and answers. The public listener takes off its time limits: its answers are
// bounded by progress instead.
func newServer(h http.Handler, logger zerolog.Logger) *http.Server {
	return &http.Server{
		Handler: h, ReadHeaderTimeout: headerTime, ReadTimeout: bodyTime, WriteTimeout: answerTime, IdleTimeout: idleTime,
		MaxHeaderBytes: headerBytes, ErrorLog: log.New(debugWriter{logger}, "", 0),
	}
}

// debugWriter takes what net/http says of broken connections: noise to an operator.
type debugWriter struct{ log zerolog.Logger }

// Write implements io.Writer.
func (w debugWriter) Write(p []byte) (int, error) {
	w.log.Debug().Str("http", string(p)).Msg("http server")
	return len(p), nil
}

// last closes the connection after each answer once the gateway stops, so that who keeps connections opens the next one elsewhere.
func last(draining *atomic.Bool, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if draining.Load() {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}

// serve serves all listeners until one fails or ctx ends. Then it serves on for the delay, in which whoever sends requests here learns
// that he shall not; closes the listeners and the connections that are idle; lets what is under way finish until the drain time,
// the delay included, is over; and breaks off the rest. The listener of the probes closes last: they tell why nothing else answers.
func serve(ctx context.Context, all []*listener, probes *listener, delay, drain time.Duration, draining func()) error {
	failed := make(chan error, len(all)+1)
	var serving sync.WaitGroup
	for _, l := range append([]*listener{probes}, all...) {
		serving.Go(func() {
			if err := l.server.Serve(l.ln); !errors.Is(err, http.ErrServerClosed) {
				failed <- problem.New(problem.Internal, "%s: %w", l.setting, err)
			}
		})
	}
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
		delay = 0
	}
	draining()
	down, cancel := context.WithTimeout(context.WithoutCancel(ctx), max(drain, delay))
	defer cancel()
	select {
	case <-time.After(delay):
	case err = <-failed:
	}
	var closing sync.WaitGroup
	for _, l := range all {
		closing.Go(func() { l.close(down) })
	}
	closing.Wait()
	probes.close(down)
	serving.Wait()
	return err
}

func (l *listener) close(ctx context.Context) {
	if l.server.Shutdown(ctx) != nil {
		_ = l.server.Close() // the drain time is over: what is open is broken off, and seen as broken
	}
}
