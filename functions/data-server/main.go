// Command data-server answers data requests that the gateway fans out: it says which object of which bucket holds the
// dataset's bytes, and the gateway streams them. No bulk byte passes through it, so it may scale to zero.
package main

import (
	"context"

	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/functions/stores"
	"github.com/tidegate/tidegate/shared/function"
	"github.com/tidegate/tidegate/shared/gatewayapi"
)

const name = "data-server"

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
	svc.Handle("POST "+gatewayapi.PathData, &handler{tenants: registry, stores: pool, timeout: cfg.Deadline, log: svc.Logger()})
	return svc.Run(ctx)
}
