package localbroker

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"
	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/shared/problem"
)

// Config is the environment of the broker.
type Config struct {
	Host            string        `env:"HOST" envDefault:"127.0.0.1"`
	Port            int           `env:"PORT" envDefault:"8081"`
	ManifestsDirs   []string      `env:"MANIFESTS_DIRS,required"` // folders, separated by commas
	DataDir         string        `env:"DATA_DIR,required"`
	Subscribers     string        `env:"SUBSCRIBERS,required"`         // name=url,name=url: where the Services of the manifests are
	TokenFile       string        `env:"INTERNAL_TOKEN_FILE,required"` // the bearer secret of calls inside the deployment
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
	cfg := &Config{}
	if err := env.ParseWithOptions(cfg, env.Options{Environment: env.ToMap(environ)}); err != nil {
		return nil, problem.New(problem.Invalid, "configuration: %s", strings.TrimPrefix(err.Error(), "env: "))
	}
	var faults []string
	need := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Sprintf(format, args...))
		}
	}
	need(cfg.Port >= 0 && cfg.Port <= 65535, "PORT %d: expected 0 to 65535", cfg.Port)
	_, err := zerolog.ParseLevel(cfg.LogLevel)
	need(err == nil, "LOG_LEVEL %q: expected debug, info, warn or error", cfg.LogLevel)
	need(cfg.Grace >= 0, "GRACE %s: expected 0s or more", cfg.Grace)
	need(cfg.Concurrency >= 1 && cfg.Concurrency <= 1024, "TRIGGER_CONCURRENCY %d: expected 1 to 1024", cfg.Concurrency)
	for name, d := range map[string]time.Duration{"DELIVERY_TIMEOUT": cfg.Timeout, "CONNECT_PATIENCE": cfg.ConnectPatience, "RETRY_AFTER_MAX": cfg.RetryAfterMax} {
		need(d > 0, "%s %s: expected more than 0s", name, d)
	}
	for name, n := range map[string]int64{"MAX_EVENT_BYTES": cfg.MaxEventBytes, "MAX_BACKLOG": cfg.MaxBacklog, "MAX_BACKLOG_BYTES": cfg.MaxBacklogBytes} {
		need(n > 0, "%s %d: expected more than 0", name, n)
	}
	for _, dir := range cfg.ManifestsDirs {
		st, err := os.Stat(dir)
		need(err == nil && st.IsDir(), "MANIFESTS_DIRS: %q is no folder", dir)
	}
	if len(faults) > 0 {
		return nil, problem.New(problem.Invalid, "configuration: %s", strings.Join(faults, "; "))
	}
	return cfg, nil
}
