// Package function is the harness of every function: it receives CloudEvents over HTTP in binary, structured and batch mode,
// checks them, runs a handler under a deadline, sends its reply, and drains on SIGTERM.
package function

import (
	"context"
	"net/http"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/rs/zerolog"
)

// Handler does the function's one concern for one event. A non-nil reply goes back to the broker. An error's problem.Kind
// decides whether the broker delivers the event again (problem.EventStatus). It must bear the same event twice, late and
// out of order.
type Handler func(ctx context.Context, e *event.Event) (*event.Event, error)

// Config is the environment of every function.
type Config struct {
	Port          int           `env:"PORT" envDefault:"8080"`
	Host          string        `env:"HOST"`                         // "" = all interfaces, as Knative wants it; 127.0.0.1 on one machine
	Sink          string        `env:"K_SINK"`                       // where Publish sends events: the broker
	GatewayURL    string        `env:"GATEWAY_URL,required"`         // the gateway's internal listener
	TokenFile     string        `env:"INTERNAL_TOKEN_FILE,required"` // the bearer secret of calls inside the deployment
	TenantsDir    string        `env:"TENANTS_DIR,required"`
	MaxEventBytes int64         `env:"MAX_EVENT_BYTES" envDefault:"1048576"`
	Deadline      time.Duration `env:"EVENT_DEADLINE" envDefault:"55s"` // of one event; below the Trigger's timeout
	DrainTime     time.Duration `env:"DRAIN_TIME" envDefault:"4s"`
	LogLevel      string        `env:"LOG_LEVEL" envDefault:"info"`
}

// Service is a running function.
type Service struct{}

// New makes a service: it opens nothing but its configuration's files. name is the function's name, as in its manifest.
func New(name string, cfg Config, log zerolog.Logger) (*Service, error) { panic("stub") }

// HandleEvents serves POST / with the handler. Every caller must present the internal token.
func (s *Service) HandleEvents(h Handler) { panic("stub") }

// Handle serves a further route, e.g. "POST /decide", behind the internal token.
func (s *Service) Handle(pattern string, h http.Handler) { panic("stub") }

// HandleOpen serves a route with its own authentication, e.g. notifications of a storage provider.
func (s *Service) HandleOpen(pattern string, h http.Handler) { panic("stub") }

// Publish sends an event to the broker and returns when the broker has accepted it. Passing failures are retried within
// ctx's deadline.
func (s *Service) Publish(ctx context.Context, e *event.Event) error { panic("stub") }

// Run serves until ctx ends, then drains: health turns to 503, running handlers end, the listener closes.
func (s *Service) Run(ctx context.Context) error { panic("stub") }
