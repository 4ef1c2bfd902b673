// Command nats-stream serves a transfer profile whose data is a stream of NATS JetStream: at the provider's side of a pull it makes a consumer of
// the stream for each data flow, and credentials that can read from that consumer and do nothing else. A suspension or the end of the flow
// deletes the consumer, which cuts an open subscription at once and leaves the credentials without use; a resumption makes another one
// that goes on where the first was acknowledged. It shows what it takes to add a transfer profile: one function, and a line of a
// tenant's document (docs/extend.md).
package main

import (
	"context"

	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/shared/function"
)

const name = "nats-stream"

func main() { function.Main(name, run) }

func run(ctx context.Context, log zerolog.Logger) error {
	cfg, err := function.LoadConfig[Config]()
	if err != nil {
		return err
	}
	svc, err := function.New(name, cfg.Config, log)
	if err != nil {
		return err
	}
	svc.HandleHook((&handler{cfg: cfg}).Handle)
	return svc.Run(ctx)
}
