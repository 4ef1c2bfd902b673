// Command negotiation-approver decides who may have which dataset: it evaluates a tenant's CEL rules on an incoming
// negotiation, keeps the decision with its reasons, and acts on it: by a veto that the control plane waits for, or by
// terminating what has begun.
package main

import (
	"context"
	"time"

	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/functions/controlplanes"
	"github.com/tidegate/tidegate/functions/rules"
	"github.com/tidegate/tidegate/shared/function"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/tenant"
)

const name = "negotiation-approver"

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
		tenants: registry, gateway: svc.Gateway(), publish: svc.Publish, approvals: tenant.Derive(compile), now: time.Now,
		log: svc.Logger(), deadline: cfg.Deadline,
		controlPlane: func(t *tenant.Tenant) (controlPlane, error) { return pool.Of(t) },
	}
	svc.HandleEvents(h.Handle)
	svc.Handle("POST "+gatewayapi.PathVeto, h.vetoRoute())
	svc.Handle("POST "+gatewayapi.PathDecide, h.decideRoute())
	return svc.Run(ctx)
}
