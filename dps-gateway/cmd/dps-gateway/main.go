// Command dps-gateway is the one always-on service of Tidegate: Data Plane Signaling for the control planes of all tenants, the
// public data endpoint, the internal API and the outbox. Its settings come from the environment, see gateway.Config.
// "dps-gateway rebuild" brings back into an empty Redis what the control planes know.
package main

import (
	"context"
	"os"
	"runtime"

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

// headroom is memory that the collector takes for used, and that is never touched, so that the system has nothing to give for it. A
// gateway's heap is small and made of what one request needs: without it the collector runs some ten times a second under load.
// Unlike a larger GOGC it lets garbage grow by so many bytes, not by a multiple of what thousands of open streams keep alive.
const headroom = 16 << 20

func run(ctx context.Context, log zerolog.Logger) error {
	cfg, err := function.LoadConfig[gateway.Config]()
	if err != nil {
		return err
	}
	redisconn.LogTo(log)
	reserve := make([]byte, headroom)
	defer runtime.KeepAlive(reserve)
	g, err := gateway.Open(ctx, cfg, log)
	if err != nil {
		return err
	}
	return g.Run(ctx)
}
