// Command transfer-puller fetches the data of started consumer-pull flows into the tenant's sink, in slices of bounded time:
// it resumes where the sink holds safe bytes, verifies length and digest, makes the object visible at once, and tells the
// gateway that the flow is complete (Data Plane Signaling, HTTP pull profile; RFC 9110 ranges, RFC 9530 digests).
package main

import (
	"context"
	"net/http"
	"time"

	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/functions/slices"
	"github.com/tidegate/tidegate/functions/stores"
	"github.com/tidegate/tidegate/shared/function"
)

func main() { function.Main(name, run) }

func run(ctx context.Context, log zerolog.Logger) error {
	cfg, err := function.LoadConfig[slices.Config]()
	if err != nil {
		return err
	}
	svc, registry, err := function.Open(ctx, name, cfg.Config, log)
	if err != nil {
		return err
	}
	pool := stores.New()
	defer pool.Close()
	h := &handler{
		mover: mover(registry, svc.Gateway()), stores: pool, gateway: svc.Gateway(), provider: providerClient(svc.HTTPClient().Transport),
		cfg: cfg, draining: ctx.Done(), now: time.Now,
	}
	svc.HandleEvents(h.Handle)
	return svc.Run(ctx)
}

// providerClient is the client for other participants' endpoints. A redirect within the host is followed; one that leaves it
// is not, since the request bears the flow's token.
func providerClient(transport http.RoundTripper) *http.Client {
	return &http.Client{
		Transport: transport,
		CheckRedirect: func(req *http.Request, via []*http.Request) error {
			if len(via) > 3 || req.URL.Host != via[0].URL.Host || req.URL.Scheme != via[0].URL.Scheme {
				return http.ErrUseLastResponse
			}
			return nil
		},
	}
}
