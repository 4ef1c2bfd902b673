// Command subscription-manager keeps a tenant supplied: it looks at the catalogs that the tenant subscribes to, gets a
// contract for each dataset on terms that the tenant accepts, or uses the one it has, and starts a transfer for each version
// that was not delivered yet.
package main

import (
	"context"
	"time"

	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/functions/controlplanes"
	"github.com/tidegate/tidegate/functions/rules"
	"github.com/tidegate/tidegate/shared/function"
	"github.com/tidegate/tidegate/shared/tenant"
)

const name = "subscription-manager"

func main() { function.Main(name, run) }

func run(ctx context.Context, log zerolog.Logger) error {
	cfg, err := function.LoadConfig[function.Config]()
	if err != nil {
		return err
	}
	svc, registry, err := function.Open(ctx, name, cfg, log, rules.Validate)
	if err != nil {
		return err
	}
	pool := controlplanes.New(svc.HTTPClient())
	h := &handler{
		tenants: registry, gateway: svc.Gateway(), publish: svc.Publish, now: time.Now, pace: newPace(), selections: tenant.Derive(rules.CompileSelections),
		controlPlane: func(t *tenant.Tenant) (controlPlane, error) { return pool.Of(t) },
	}
	svc.HandleEvents(h.Handle)
	return svc.Run(ctx)
}
