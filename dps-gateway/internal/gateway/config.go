package gateway

import (
	"errors"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/dps-gateway/internal/hook"
	"github.com/tidegate/tidegate/dps-gateway/internal/redisconn"
	"github.com/tidegate/tidegate/shared/problem"
)

// Config is the environment of the gateway. It holds no secret but what REDIS_URL may: secrets are read from files.
type Config struct {
	SignalingAddr string `env:"SIGNALING_ADDR" envDefault:":8282"` // for control planes
	PublicAddr    string `env:"PUBLIC_ADDR" envDefault:":8283"`    // for other participants
	InternalAddr  string `env:"INTERNAL_ADDR" envDefault:":8284"`  // for functions, the broker, operators
	MetricsAddr   string `env:"METRICS_ADDR" envDefault:":9090"`   // health and metrics, without authentication
	PPROF         bool   `env:"PPROF" envDefault:"false"`          // profiles of the process too, at METRICS_ADDR: for whom that address is not open to all

	SignalingURL string `env:"SIGNALING_URL,required" expect:"the URL at which control planes reach the signaling listener"`
	PublicURL    string `env:"PUBLIC_URL,required" expect:"the URL at which other participants reach the public listener"`

	Redis redisconn.Config

	Sink          string `env:"K_SINK,required" expect:"the URL of the broker"`
	ApproverURL   string `env:"APPROVER_URL,required" expect:"the URL of the function negotiation-approver"`
	DataServerURL string `env:"DATA_SERVER_URL,required" expect:"the URL of the function data-server"`
	// Functions that tenants' documents name as hooks of profiles: name=URL, or *=http://{function}.example for all that are not named.
	HookURLs []string `env:"HOOK_URLS" expect:"name=URL entries separated by commas"`

	TenantsDir          string `env:"TENANTS_DIR,required" expect:"the folder with the tenants' documents"`
	InternalTokenFile   string `env:"INTERNAL_TOKEN_FILE,required" expect:"the file with the bearer secret of internal calls"`
	ControlPlaneKeyFile string `env:"CONTROLPLANE_KEY_FILE,required" expect:"the file with the key in the URL of control planes' events"`
	SigningKeyFile      string `env:"SIGNING_KEY_FILE,required" expect:"the PEM file with the keys that sign tokens, the same for all replicas; made if it is missing and the folder is writable"`

	AllowPlainHTTP       bool          `env:"ALLOW_PLAIN_HTTP" envDefault:"false"`            // data addresses and our own URLs without TLS: for development
	TokenTTL             time.Duration `env:"TOKEN_TTL" envDefault:"12h"`                     // of access tokens
	ShortTTL             time.Duration `env:"TOKEN_TTL_SHORT" envDefault:"10m"`               // of those of tenants with renewal.offer short
	RenewBefore          time.Duration `env:"RENEW_BEFORE" envDefault:"30s"`                  // a consumer's token that ends sooner, or is at a fifth of its life, is renewed
	PrivatePeers         bool          `env:"ALLOW_PRIVATE_PEERS" envDefault:"false"`         // DID documents and refresh endpoints of others inside our own network
	PrivateControlPlanes bool          `env:"ALLOW_PRIVATE_CONTROLPLANES" envDefault:"false"` // control planes that register themselves inside our own network
	DIDPlainHTTP         bool          `env:"DID_PLAIN_HTTP" envDefault:"false"`              // DID documents by http: for development
	DecisionWait         time.Duration `env:"DECISION_WAIT" envDefault:"10s"`                 // how long a provider's start waits for a decision
	HookWait             time.Duration `env:"HOOK_WAIT" envDefault:"10s"`                     // how long a signal waits for a function that serves its profile
	HookReportWithin     time.Duration `env:"HOOK_REPORT_WITHIN" envDefault:"1h"`             // how long a flow that was promised (202) waits for its function's report
	SignalWait           time.Duration `env:"SIGNAL_WAIT" envDefault:"10s"`                   // how long a signal waits for a Redis that is restarted or fails over; 0 = not at all
	SignalsWaiting       int           `env:"SIGNALS_WAITING" envDefault:"512"`               // signals that do so at once
	DataWait             time.Duration `env:"DATA_WAIT" envDefault:"30s"`                     // how long a data request waits for a data server, cold start included
	DataWaiting          int           `env:"DATA_WAITING" envDefault:"128"`                  // requests of a tenant that wait for a data server to start at once
	DataPause            time.Duration `env:"DATA_PAUSE" envDefault:"5s"`                     // in which a data server or object store that failed five times in a row is not asked
	StallTime            time.Duration `env:"STALL_TIME" envDefault:"1m"`                     // in which a client must take the next mebibyte
	EventWait            time.Duration `env:"EVENT_WAIT" envDefault:"75s"`                    // for the broker's answer; above its subscribers' timeout
	Retention            time.Duration `env:"RETENTION" envDefault:"168h"`                    // of data flows and deliveries that have ended
	TenantsEvery         time.Duration `env:"TENANTS_EVERY" envDefault:"2s"`                  // how often the tenants' documents are looked at
	BlindTime            time.Duration `env:"BLIND_TIME" envDefault:"20s"`                    // how long an open stream goes on while Redis can't be asked whether it may
	DrainTime            time.Duration `env:"DRAIN_TIME" envDefault:"25s"`                    // for what is under way when the process is told to stop, DRAIN_DELAY included
	DrainDelay           time.Duration `env:"DRAIN_DELAY" envDefault:"2s"`                    // how long it serves on, but is not ready, so that nobody is sent here any more when the listeners close

	// Limits of tenants whose document sets none; 0 = no limit.
	MaxStreams           int   `env:"TENANT_CONCURRENT_STREAMS" envDefault:"1000"`
	MaxRequestsPerSecond int   `env:"TENANT_REQUESTS_PER_SECOND" envDefault:"0"`
	MaxBytesPerSecond    int64 `env:"TENANT_BYTES_PER_SECOND" envDefault:"0"`

	LogLevel string `env:"LOG_LEVEL" envDefault:"info" expect:"one of trace, debug, info, warn, error, fatal, disabled"`
}

// Validate checks the values, all of them, and returns the faults joined.
func (c *Config) Validate() error {
	var faults []error
	fault := func(name, format string, args ...any) { faults = append(faults, problem.Field(name, format, args...)) }
	for _, v := range []setting[string]{
		{"SIGNALING_ADDR", c.SignalingAddr}, {"PUBLIC_ADDR", c.PublicAddr}, {"INTERNAL_ADDR", c.InternalAddr}, {"METRICS_ADDR", c.MetricsAddr},
	} {
		if _, _, err := net.SplitHostPort(v.value); err != nil {
			fault(v.name, "%q is no address: host:port or :port is expected", v.value)
		}
	}
	for _, v := range []setting[string]{
		{"SIGNALING_URL", c.SignalingURL},
		{"PUBLIC_URL", c.PublicURL},
		{"K_SINK", c.Sink},
		{"APPROVER_URL", strings.ReplaceAll(c.ApproverURL, linePart, "")},
		{"DATA_SERVER_URL", strings.ReplaceAll(c.DataServerURL, linePart, "")},
	} {
		if !isHTTP(v.value) {
			fault(v.name, "%q is no http(s) URL with a host", v.value)
		}
	}
	if u, err := url.Parse(c.PublicURL); err == nil && u.Scheme == "http" && !c.AllowPlainHTTP {
		fault("PUBLIC_URL", "%q is not https: consumers must refuse it (HTTP transfer profile); ALLOW_PLAIN_HTTP=true allows it for development", c.PublicURL)
	}
	if _, err := hook.ParseURLs(c.HookURLs); err != nil {
		fault("HOOK_URLS", "%w", err)
	}
	if err := c.Redis.Validate(); err != nil {
		faults = append(faults, err)
	}
	for _, v := range []setting[time.Duration]{
		{"TOKEN_TTL", c.TokenTTL},
		{"TOKEN_TTL_SHORT", c.ShortTTL},
		{"RENEW_BEFORE", c.RenewBefore},
		{"DECISION_WAIT", c.DecisionWait},
		{"HOOK_WAIT", c.HookWait},
		{"HOOK_REPORT_WITHIN", c.HookReportWithin},
		{"DATA_WAIT", c.DataWait},
		{"DATA_PAUSE", c.DataPause},
		{"STALL_TIME", c.StallTime},
		{"BLIND_TIME", c.BlindTime},
		{"EVENT_WAIT", c.EventWait},
		{"RETENTION", c.Retention},
		{"TENANTS_EVERY", c.TenantsEvery},
	} {
		if v.value <= 0 {
			fault(v.name, "%v is out of range: more than 0s is expected", v.value)
		}
	}
	if c.DrainTime < 0 {
		fault("DRAIN_TIME", "%v is out of range: 0s or more is expected", c.DrainTime)
	}
	if c.DrainDelay < 0 || c.DrainDelay > c.DrainTime {
		fault("DRAIN_DELAY", "%v is out of range: 0s to DRAIN_TIME (%v) is expected", c.DrainDelay, c.DrainTime)
	}
	if c.SignalWait < 0 {
		fault("SIGNAL_WAIT", "%v is out of range: 0s or more is expected", c.SignalWait)
	}
	if c.SignalsWaiting < 0 {
		fault("SIGNALS_WAITING", "%d is out of range: 0 or more is expected", c.SignalsWaiting)
	}
	if c.DataWaiting <= 0 {
		fault("DATA_WAITING", "%d is out of range: 1 or more is expected", c.DataWaiting)
	}
	for _, v := range []setting[int64]{
		{"TENANT_CONCURRENT_STREAMS", int64(c.MaxStreams)},
		{"TENANT_REQUESTS_PER_SECOND", int64(c.MaxRequestsPerSecond)},
		{"TENANT_BYTES_PER_SECOND", c.MaxBytesPerSecond},
	} {
		if v.value < 0 {
			fault(v.name, "%d is out of range: 0 (no limit) or more is expected", v.value)
		}
	}
	if _, err := zerolog.ParseLevel(c.LogLevel); err != nil {
		fault("LOG_LEVEL", "%q is no level: one of trace, debug, info, warn, error, fatal, disabled is expected", c.LogLevel)
	}
	return errors.Join(faults...)
}

// setting is the value of a variable.
type setting[T any] struct {
	name  string
	value T
}

func isHTTP(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}
