package gateway

import (
	"context"
	"io"

	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/dps-gateway/internal/approver"
	"github.com/tidegate/tidegate/dps-gateway/internal/flowstore"
	"github.com/tidegate/tidegate/dps-gateway/internal/rebuild"
	"github.com/tidegate/tidegate/dps-gateway/internal/records"
	"github.com/tidegate/tidegate/dps-gateway/internal/redisconn"
	"github.com/tidegate/tidegate/shared/auth"
	"github.com/tidegate/tidegate/shared/objectstore"
	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/tenant"
)

// RebuildOptions choose what Rebuild does.
type RebuildOptions struct {
	rebuild.Options

	Decisions bool // have decisions made again too, which needs the gateway and its functions
}

// Rebuild brings back into Redis what the tenants' control planes and sinks know, and reports to out; see package rebuild. It
// uses the gateway's own configuration, opens no listener, and serves nothing.
func Rebuild(ctx context.Context, cfg Config, opts RebuildOptions, out io.Writer, log zerolog.Logger) (rebuild.Outcome, error) {
	var none rebuild.Outcome
	secret, err := auth.NewSharedSecret(cfg.InternalTokenFile)
	if err != nil {
		return none, problem.Field("INTERNAL_TOKEN_FILE", "%w", err)
	}
	tenants, err := tenant.Open(cfg.TenantsDir, log)
	if err != nil {
		return none, problem.Field("TENANTS_DIR", "%w", err)
	}
	rdb, err := redisconn.Open(cfg.Redis)
	if err != nil {
		return none, err
	}
	defer func() { _ = rdb.Close() }()
	if _, err := redisconn.Check(ctx, rdb, cfg.Redis); err != nil {
		return none, err
	}
	c := newClients(secret, Config{})
	defer c.close()
	b := rebuild.Rebuilder{
		Tenants: tenants.All(),
		Of:      func(t *tenant.Tenant) (rebuild.ControlPlane, error) { return c.of(t) },
		Flows:   flowstore.New(rdb, nil, cfg.Retention),
		Records: records.New(rdb, cfg.Retention),
		Decider: approver.New(functionOf(cfg.ApproverURL, tenants), c.functions, cfg.DecisionWait),
		Open:    objectstore.Open, Out: out, Options: opts.Options,
	}
	sum := b.Run(ctx)
	if opts.Decisions {
		more := b.Decisions(ctx)
		sum.Lost, sum.Failed = sum.Lost+more.Lost, sum.Failed+more.Failed
	}
	return sum, nil
}
