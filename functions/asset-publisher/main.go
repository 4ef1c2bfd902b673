// Command asset-publisher puts objects of a tenant's buckets on offer: an object.* event makes it hash the object, register
// the dataset at the gateway, and bring asset, policies and contract definition at the control plane (EDC Management API
// v5beta) to the same state; or withdraw them if the object has gone.
package main

import (
	"context"
	"time"

	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/functions/controlplanes"
	"github.com/tidegate/tidegate/functions/stores"
	"github.com/tidegate/tidegate/shared/function"
	"github.com/tidegate/tidegate/shared/tenant"
)

func main() { function.Main(name, run) }

func run(ctx context.Context, log zerolog.Logger) error {
	cfg, err := function.LoadConfig[function.Config]()
	if err != nil {
		return err
	}
	svc, registry, err := function.Open(ctx, name, cfg, log)
	if err != nil {
		return err
	}
	pool := stores.New()
	defer pool.Close()
	planes := controlplanes.New(svc.HTTPClient())
	h := &handler{
		tenants: registry, stores: pool, gateway: svc.Gateway(),
		controlPlane: func(t *tenant.Tenant) (controlPlane, error) { return planes.Of(t) },
		now:          time.Now,
	}
	svc.HandleEvents(h.Handle)
	return svc.Run(ctx)
}
