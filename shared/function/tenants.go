package function

import (
	"context"

	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/tenant"
)

// Open is what the main of nearly every function begins with: it makes the service and reads the documents of its tenants,
// which it looks at again every TENANTS_EVERY until ctx ends.
func Open(ctx context.Context, name string, cfg Config, log zerolog.Logger, validators ...tenant.Validator) (*Service, *tenant.Registry, error) {
	svc, err := New(name, cfg, log)
	if err != nil {
		return nil, nil, err
	}
	registry, err := tenant.Open(cfg.TenantsDir, *svc.Logger(), validators...)
	if err != nil {
		return nil, nil, problem.Field("TENANTS_DIR", "%w", err)
	}
	registry.Serve(cfg.Line)
	go registry.Watch(ctx, cfg.TenantsEvery, nil)
	return svc, registry, nil
}
