package function

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/shared/auth"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/telemetry"
	"github.com/tidegate/tidegate/shared/version"
)

// Bounds of calls that the harness makes. A caller's context bounds them further.
const (
	connectTimeout = 5 * time.Second
	answerTimeout  = 30 * time.Second // until the header of an answer
	gatewayTimeout = 30 * time.Second // of one call to the gateway's internal API, its body included
	idleTimeout    = 60 * time.Second
)

// Handler does the function's one concern for one event. A non-nil reply goes back to the broker. An error's problem.Kind
// decides whether the broker delivers the event again (problem.EventStatus). It must bear the same event twice, late and
// out of order. Its context ends at the delivery's deadline, when the caller gives up, and when the time to drain is over; it carries
// the logger of the event (zerolog.Ctx) and its trace (telemetry.FromContext).
type Handler func(ctx context.Context, e *event.Event) (*event.Event, error)

// Service is a running function.
type Service struct {
	name       string
	cfg        Config
	log        zerolog.Logger
	secret     *auth.SharedSecret
	extensions map[string]string // of K_CE_OVERRIDES
	mux        *http.ServeMux
	draining   atomic.Bool

	outside *http.Client // control planes, peers, back ends
	inside  *http.Client // the deployment: bears the internal token
	gateway *gatewayapi.Client
}

// New makes a service: it opens nothing but its configuration's files. name is the function's name, as in its manifest.
func New(name string, cfg Config, log zerolog.Logger) (*Service, error) {
	if err := cfg.Validate(); err != nil {
		return nil, problem.New(problem.Invalid, "%w", err)
	}
	secret, err := auth.NewSharedSecret(cfg.TokenFile)
	if err != nil {
		return nil, problem.New(problem.Invalid, "INTERNAL_TOKEN_FILE: %w", err)
	}
	extensions, err := overrides(cfg.CEOverrides)
	if err != nil {
		return nil, problem.New(problem.Invalid, "K_CE_OVERRIDES: %w", err)
	}
	s := &Service{
		name: name, cfg: cfg, secret: secret, extensions: extensions, mux: http.NewServeMux(),
		log:     log.With().Str("function", name).Logger(),
		outside: &http.Client{Transport: telemetry.Transport(newTransport(http.ProxyFromEnvironment))},
		inside: &http.Client{
			Transport: secret.Transport(telemetry.Transport(newTransport(nil))),
			// The token goes to whom it was meant for and not where an answer points.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	s.gateway = gatewayapi.NewClient(cfg.GatewayURL, &http.Client{
		Transport: s.inside.Transport, CheckRedirect: s.inside.CheckRedirect, Timeout: gatewayTimeout,
	})
	s.mux.HandleFunc("GET /healthz", s.health)
	s.mux.HandleFunc("GET /readyz", s.health)
	return s, nil
}

func newTransport(proxy func(*http.Request) (*url.URL, error)) *http.Transport {
	return &http.Transport{
		Proxy:                 proxy,
		DialContext:           (&net.Dialer{Timeout: connectTimeout}).DialContext,
		TLSHandshakeTimeout:   connectTimeout,
		ResponseHeaderTimeout: answerTimeout,
		ExpectContinueTimeout: time.Second,
		IdleConnTimeout:       idleTimeout,
		MaxIdleConnsPerHost:   32,
		ForceAttemptHTTP2:     true,
	}
}

// HandleEvents serves POST / with the handler. A caller must present the internal token, or deliver what is signed with it
// (package eventsig): a Knative Broker passes no token on. Only the ticks of schedules, which say nothing, need neither.
func (s *Service) HandleEvents(h Handler) {
	s.HandleOpen("POST /{$}", &receiver{service: s, handler: h})
}

// Handle serves a further route, e.g. "POST /decide", behind the internal token.
func (s *Service) Handle(pattern string, h http.Handler) {
	s.HandleOpen(pattern, s.authenticated(h))
}

// HandleOpen serves a route with its own authentication, e.g. notifications of a storage provider.
func (s *Service) HandleOpen(pattern string, h http.Handler) {
	s.mux.Handle(pattern, s.guarded(h))
}

// Gateway is the gateway's internal API, authenticated.
func (s *Service) Gateway() *gatewayapi.Client { return s.gateway }

// HTTPClient is for calls that leave the deployment: it bounds the time until an answer begins and passes the trace on. It
// bears no token, and only the request's context bounds the reading of a body.
func (s *Service) HTTPClient() *http.Client { return s.outside }

// Logger is the service's logger, for what belongs to no event.
func (s *Service) Logger() *zerolog.Logger { return &s.log }

// health answers probes: 200 while the service takes work, 503 when it drains.
func (s *Service) health(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	if s.draining.Load() {
		http.Error(w, "draining", http.StatusServiceUnavailable)
		return
	}
	_, _ = w.Write([]byte("ok " + version.String(s.name) + "\n")) // a probe that went away needs no answer
}

// authenticated lets pass who presents the internal token.
func (s *Service) authenticated(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.presentsToken(r) {
			s.unauthenticated(w, problem.New(problem.Unauthenticated, "the bearer token of the deployment is expected"))
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (s *Service) presentsToken(r *http.Request) bool {
	token, ok := auth.Bearer(r.Header)
	return ok && s.secret.Check(token)
}

func (s *Service) unauthenticated(w http.ResponseWriter, err error) {
	w.Header().Set("WWW-Authenticate", `Bearer realm="`+strings.ReplaceAll(s.name, `"`, "")+`"`)
	problem.Write(w, &s.log, http.StatusUnauthorized, err)
}
