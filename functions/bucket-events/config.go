package main

import (
	"errors"
	"time"

	"github.com/tidegate/tidegate/shared/function"
	"github.com/tidegate/tidegate/shared/problem"
)

// config is the environment of this function.
type config struct {
	function.Config

	Watch  bool          `env:"WATCH" envDefault:"false"`  // watch the folders of file:// buckets; for one machine, with one instance
	Settle time.Duration `env:"SETTLE" envDefault:"700ms"` // how long a file must have been left alone

	SweepEvents int `env:"SWEEP_EVENTS" envDefault:"10000"` // most events of one tenant in one sweep; the next one goes on
	Concurrency int `env:"PUBLISH_CONCURRENCY" envDefault:"16"`

	NotificationSecretFile string `env:"NOTIFICATION_SECRET_FILE"`                                                                                          // the bearer secret of storage providers; default: the internal token
	NotificationKeys       string `env:"NOTIFICATION_KEYS" envDefault:"form" expect:"form (keys are form-encoded, as AWS and MinIO do) or raw (versitygw)"` // how keys in notifications are spelled, unless the request says ?keys=
}

// Validate checks the values and returns all faults.
func (c *config) Validate() error {
	faults := []error{c.Config.Validate()}
	fault := func(name, format string, args ...any) {
		faults = append(faults, problem.Field(name, format, args...))
	}
	if c.Settle < 0 || c.Settle > time.Minute {
		fault("SETTLE", "%v is out of range: expected 0s to 1m", c.Settle)
	}
	if c.SweepEvents < 1 {
		fault("SWEEP_EVENTS", "%d is out of range: expected 1 or more", c.SweepEvents)
	}
	if c.Concurrency < 1 || c.Concurrency > 256 {
		fault("PUBLISH_CONCURRENCY", "%d is out of range: expected 1 to 256", c.Concurrency)
	}
	if !spelling(c.NotificationKeys).valid() {
		fault("NOTIFICATION_KEYS", "%q is no spelling of keys: expected form or raw", c.NotificationKeys)
	}
	if c.Sink == "" {
		fault("K_SINK", "is not set: expected the URL of the broker's ingress")
	}
	return errors.Join(faults...)
}
