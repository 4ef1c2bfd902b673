// Command bucket-events tells what happens in the buckets that tenants publish from, as object.created, object.changed and
// object.removed: by notifications of storage providers over HTTP, by a schedule on which it compares the buckets with what
// is published, and on one machine (WATCH=true) by watching folders.
package main

import (
	"context"

	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/shared/function"
	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/tenant"
)

func main() { function.Main(name, run) }

func run(ctx context.Context, log zerolog.Logger) error {
	cfg, err := function.LoadConfig[config]()
	if err != nil {
		return err
	}
	svc, err := function.New(name, cfg.Config, log)
	if err != nil {
		return err
	}
	registry, err := tenant.Open(cfg.TenantsDir, *svc.Logger())
	if err != nil {
		return problem.Field("TENANTS_DIR", "%w", err)
	}
	registry.Serve(cfg.Line)
	parts, err := assemble(cfg, svc, registry)
	if err != nil {
		return err
	}
	defer parts.pool.Close()
	defer parts.background(ctx, registry, cfg)()
	return svc.Run(ctx)
}
