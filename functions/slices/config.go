package slices

import (
	"errors"
	"time"

	"github.com/tidegate/tidegate/shared/function"
	"github.com/tidegate/tidegate/shared/problem"
)

// Config is the environment of such a function. The peer is the other participant's endpoint.
type Config struct {
	function.Config

	SliceTime    time.Duration `env:"SLICE_TIME" envDefault:"20s"`    // of one invocation; then a follow-up event goes on
	LeaseTime    time.Duration `env:"LEASE_TIME" envDefault:"5s"`     // after which an invocation that does not renew counts as dead
	StallTime    time.Duration `env:"STALL_TIME" envDefault:"30s"`    // without a byte, then the connection is given up
	MaxRefusals  int           `env:"MAX_REFUSALS" envDefault:"5"`    // of the peer, in all, then the flow is given up
	RefusalPause time.Duration `env:"REFUSAL_PAUSE" envDefault:"2s"`  // at least, until a peer that refused is asked again
	ErrorPause   time.Duration `env:"ERROR_PAUSE" envDefault:"200ms"` // first pause after a broken connection; it doubles
}

// Validate checks the values and returns all faults.
func (c *Config) Validate() error {
	faults := []error{c.Config.Validate()}
	for _, d := range []struct {
		name  string
		value time.Duration
	}{
		{"SLICE_TIME", c.SliceTime},
		{"LEASE_TIME", c.LeaseTime},
		{"STALL_TIME", c.StallTime},
		{"ERROR_PAUSE", c.ErrorPause},
	} {
		if d.value <= 0 {
			faults = append(faults, problem.Field(d.name, "%v is out of range: expected more than 0s", d.value))
		}
	}
	if c.SliceTime >= c.Deadline {
		faults = append(faults, problem.Field("SLICE_TIME", "%v is out of range: expected less than EVENT_DEADLINE (%v), which ends the invocation", c.SliceTime, c.Deadline))
	}
	if c.MaxRefusals < 1 {
		faults = append(faults, problem.Field("MAX_REFUSALS", "%d is out of range: expected 1 or more", c.MaxRefusals))
	}
	return errors.Join(faults...)
}
