// Command transfer-pusher sends the data of started provider-push flows to the consumer's endpoint, in slices of bounded time: it
// asks how much is there, goes on from that byte, and tells the gateway that the flow is complete once the consumer has it all
// (Data Plane Signaling, HTTP push profile; RFC 9110 Content-Range, RFC 9530 Repr-Digest). An endpoint that knows none of this gets
// the whole by one plain PUT.
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
		mover: mover(registry, svc.Gateway()), stores: pool, gateway: svc.Gateway(), consumer: consumerClient(svc.HTTPClient().Transport),
		cfg: cfg, draining: ctx.Done(), now: time.Now,
	}
	svc.HandleEvents(h.Handle)
	return svc.Run(ctx)
}

// consumerClient is the client for other participants' endpoints. It follows no redirect: the request bears the flow's token, and
// a body that can be read once.
func consumerClient(transport http.RoundTripper) *http.Client {
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}
