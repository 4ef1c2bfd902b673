package localbroker

import (
	"errors"
	"os"
	"time"

	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/settings"
)

// Config is the environment of the broker.
type Config struct {
	Host            string        `env:"HOST" envDefault:"127.0.0.1"`
	Port            int           `env:"PORT" envDefault:"8081"`
	ManifestsDirs   []string      `env:"MANIFESTS_DIRS,required" expect:"the folders of the manifests of Brokers, Triggers and PingSources, separated by commas"`
	DataDir         string        `env:"DATA_DIR,required" expect:"the folder in which events are kept until they are delivered"`
	Subscribers     string        `env:"SUBSCRIBERS,required" expect:"name=url,name=url: where the Services of the manifests are"`
	TokenFile       string        `env:"INTERNAL_TOKEN_FILE,required" expect:"the file with the bearer secret of internal calls"`
	LogLevel        string        `env:"LOG_LEVEL" envDefault:"info"`
	Grace           time.Duration `env:"GRACE" envDefault:"3s"`              // for deliveries under way at the end
	Concurrency     int           `env:"TRIGGER_CONCURRENCY" envDefault:"8"` // deliveries of one Trigger at a time
	Timeout         time.Duration `env:"DELIVERY_TIMEOUT" envDefault:"60s"`  // where a Trigger names none
	ConnectPatience time.Duration `env:"CONNECT_PATIENCE" envDefault:"10m"`  // how long a subscriber may be away
	RetryAfterMax   time.Duration `env:"RETRY_AFTER_MAX" envDefault:"1m"`
	MaxEventBytes   int64         `env:"MAX_EVENT_BYTES" envDefault:"1048576"`
	MaxBacklog      int64         `env:"MAX_BACKLOG" envDefault:"100000"`           // deliveries that wait
	MaxBacklogBytes int64         `env:"MAX_BACKLOG_BYTES" envDefault:"1073741824"` // of their events
}

// LoadConfig reads the environment and reports all faults together.
func LoadConfig(environ []string) (*Config, error) {
	cfg, err := settings.Load[Config](environ)
	if err != nil {
		return nil, err
	}
	return &cfg, nil
}

// Validate checks the values, all of them, and returns the faults joined.
func (c *Config) Validate() error {
	var faults []error
	need := func(ok bool, name, format string, args ...any) {
		if !ok {
			faults = append(faults, problem.Field(name, format, args...))
		}
	}
	need(c.Port >= 0 && c.Port <= 65535, "PORT", "%d is no port: expected 1 to 65535, or 0 for any free one", c.Port)
	_, err := zerolog.ParseLevel(c.LogLevel)
	need(err == nil, "LOG_LEVEL", "%q is no level: expected one of trace, debug, info, warn, error, fatal, disabled", c.LogLevel)
	need(c.Grace >= 0, "GRACE", "%s is out of range: expected 0s or more", c.Grace)
	need(c.Concurrency >= 1 && c.Concurrency <= 1024, "TRIGGER_CONCURRENCY", "%d is out of range: expected 1 to 1024", c.Concurrency)
	for _, d := range []struct {
		name  string
		value time.Duration
	}{{"DELIVERY_TIMEOUT", c.Timeout}, {"CONNECT_PATIENCE", c.ConnectPatience}, {"RETRY_AFTER_MAX", c.RetryAfterMax}} {
		need(d.value > 0, d.name, "%s is out of range: expected more than 0s", d.value)
	}
	for _, n := range []struct {
		name  string
		value int64
	}{{"MAX_EVENT_BYTES", c.MaxEventBytes}, {"MAX_BACKLOG", c.MaxBacklog}, {"MAX_BACKLOG_BYTES", c.MaxBacklogBytes}} {
		need(n.value > 0, n.name, "%d is out of range: expected more than 0", n.value)
	}
	for _, dir := range c.ManifestsDirs {
		st, err := os.Stat(dir)
		need(err == nil && st.IsDir(), "MANIFESTS_DIRS", "%q is no folder", dir)
	}
	return errors.Join(faults...)
}
