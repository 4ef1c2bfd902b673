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
	TenantsEvery time.Duration `env:"TENANTS_EVERY" envDefault:"2s"` // how often the tenants' documents are looked at
}

// Validate checks the values and returns all faults.
func (c *config) Validate() error {
	err := c.Config.Validate()
	if c.TenantsEvery <= 0 {
		err = errors.Join(err, problem.Field("TENANTS_EVERY", "%v is out of range: expected more than 0s", c.TenantsEvery))
	}
	return err
}
