package function

import (
	"errors"
	"net/url"
	"os"
	"time"

	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/settings"
)

// maxEventBytes is the most that MAX_EVENT_BYTES may be set to: events tell of data, they don't carry it.
const maxEventBytes = 64 << 20

// Config is the environment of every function. A function with settings of its own embeds it.
type Config struct {
	Port          int           `env:"PORT" envDefault:"8080"`
	Host          string        `env:"HOST"`                                                                                         // "" = all interfaces, as Knative wants it; 127.0.0.1 on one machine
	Sink          string        `env:"K_SINK"`                                                                                       // where Publish sends events: the broker
	CEOverrides   string        `env:"K_CE_OVERRIDES"`                                                                               // Knative's {"extensions":{…}}: set on each event that is published
	GatewayURL    string        `env:"GATEWAY_URL,required" expect:"the URL of the gateway's internal listener"`                     //
	TokenFile     string        `env:"INTERNAL_TOKEN_FILE,required" expect:"the file with the bearer secret of internal calls"`      //
	TenantsDir    string        `env:"TENANTS_DIR,required" expect:"the folder with the tenants' documents"`                         //
	Line          string        `env:"LINE"`                                                                                         // serve only the tenants whose documents name this line of functions; "" = those that name none
	TenantsEvery  time.Duration `env:"TENANTS_EVERY" envDefault:"2s"`                                                                // how often they are looked at
	MaxEventBytes int64         `env:"MAX_EVENT_BYTES" envDefault:"1048576"`                                                         // of one request, a batch included
	Deadline      time.Duration `env:"EVENT_DEADLINE" envDefault:"55s"`                                                              // of one delivery; below the Trigger's timeout
	DrainTime     time.Duration `env:"DRAIN_TIME" envDefault:"4s"`                                                                   // for what runs when the process is told to stop
	LogLevel      string        `env:"LOG_LEVEL" envDefault:"info" expect:"one of trace, debug, info, warn, error, fatal, disabled"` //
}

// Validate checks the values, all of them, and returns the faults joined. LoadConfig calls it; a function's own Config that
// has a Validate calls this one too.
func (c *Config) Validate() error {
	var faults []error
	fault := func(name, format string, args ...any) {
		faults = append(faults, problem.Field(name, format, args...))
	}
	if c.Port < 0 || c.Port > 65535 {
		fault("PORT", "%d is no port: expected 1 to 65535, or 0 for any free one", c.Port)
	}
	if !isHTTP(c.GatewayURL) {
		fault("GATEWAY_URL", "%q is no http(s) URL with a host", c.GatewayURL)
	}
	if c.Sink != "" && !isHTTP(c.Sink) {
		fault("K_SINK", "%q is no http(s) URL with a host", c.Sink)
	}
	if _, err := overrides(c.CEOverrides); err != nil {
		fault("K_CE_OVERRIDES", `expected {"extensions":{"name":"value"}}, names of lower-case letters and digits: %w`, err)
	}
	if c.TenantsEvery <= 0 {
		fault("TENANTS_EVERY", "%v is out of range: expected more than 0s", c.TenantsEvery)
	}
	if c.MaxEventBytes < 1 || c.MaxEventBytes > maxEventBytes {
		fault("MAX_EVENT_BYTES", "%d is out of range: expected 1 to %d", c.MaxEventBytes, maxEventBytes)
	}
	if c.Deadline <= 0 {
		fault("EVENT_DEADLINE", "%v is out of range: expected more than 0s", c.Deadline)
	}
	if c.DrainTime < 0 {
		fault("DRAIN_TIME", "%v is out of range: expected 0s or more", c.DrainTime)
	}
	if _, err := zerolog.ParseLevel(c.LogLevel); err != nil {
		fault("LOG_LEVEL", "%q is no level: expected one of trace, debug, info, warn, error, fatal, disabled", c.LogLevel)
	}
	return errors.Join(faults...)
}

// LoadConfig reads T from the environment of the process, see settings.Load. What every function shares is Config.
func LoadConfig[T any]() (T, error) { return settings.Load[T](os.Environ()) }

func isHTTP(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}
