// Command dps-gateway is the one always-on service of Tidegate: Data Plane Signaling for the control planes of all tenants, the
// public data endpoint, the internal API and the outbox. Its settings come from the environment, see gateway.Config.
// "dps-gateway rebuild" brings back into an empty Redis what the control planes know.
package main

import (
	"context"
	"os"
	"runtime/debug"

	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/dps-gateway/internal/gateway"
	"github.com/tidegate/tidegate/dps-gateway/internal/redisconn"
	"github.com/tidegate/tidegate/shared/function"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "rebuild" {
		os.Exit(rebuildCommand(os.Args[2:], os.Stdout, os.Stderr, os.Getenv("LOG_LEVEL")))
	}
	function.Main("dps-gateway", run)
}

// collectLess trades a few mebibytes for CPU: a gateway's heap is small and made of what one request needs, so that at Go's default
// the collector runs some ten times a second under load. GOGC and GOMEMLIMIT, where they are set, have their way.
func collectLess() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
}

const gcPercent = 400

func run(ctx context.Context, log zerolog.Logger) error {
	cfg, err := function.LoadConfig[gateway.Config]()
	if err != nil {
		return err
	}
	redisconn.LogTo(log)
	collectLess()
	g, err := gateway.Open(ctx, cfg, log)
	if err != nil {
		return err
	}
	return g.Run(ctx)
}
