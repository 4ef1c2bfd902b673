package main

import (
	"errors"
	"net/url"
	"os"
	"time"

	"github.com/tidegate/tidegate/shared/function"
	"github.com/tidegate/tidegate/shared/problem"
)

// Config is the environment of the function.
type Config struct {
	function.Config

	URL          string        `env:"NATS_URL,required" expect:"the URL of the NATS server, nats:// or tls://"`
	PublicURL    string        `env:"NATS_PUBLIC_URL"`                                                                                                        // as consumers reach it; default NATS_URL
	AccountsDir  string        `env:"NATS_ACCOUNTS_DIR,required" expect:"the folder with <participantContextId>.creds and <participantContextId>.seed files"` // a NATS account for each tenant
	InactiveTime time.Duration `env:"NATS_INACTIVE_TIME" envDefault:"168h"`                                                                                   // after which what nobody reads from is gone
}

// Validate checks the values, all of them, and returns the faults joined.
func (c *Config) Validate() error {
	faults := []error{c.Config.Validate()}
	urls := map[string]string{"NATS_URL": c.URL, "NATS_PUBLIC_URL": c.PublicURL}
	if c.PublicURL == "" {
		c.PublicURL = c.URL
		delete(urls, "NATS_PUBLIC_URL")
	}
	for name, v := range urls {
		if u, err := url.Parse(v); err != nil || u.Host == "" || u.User != nil || (u.Scheme != "nats" && u.Scheme != "tls" && u.Scheme != "ws" && u.Scheme != "wss") {
			faults = append(faults, problem.Field(name, "is no nats:// or tls:// URL with a host and without credentials"))
		}
	}
	if info, err := os.Stat(c.AccountsDir); err != nil || !info.IsDir() {
		faults = append(faults, problem.Field("NATS_ACCOUNTS_DIR", "%q is no folder", c.AccountsDir))
	}
	if c.InactiveTime < time.Minute {
		faults = append(faults, problem.Field("NATS_INACTIVE_TIME", "%v is out of range: a minute or more is expected", c.InactiveTime))
	}
	return errors.Join(faults...)
}
