package function_test

import (
	"context"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/shared/function"
)

// A function is a handler and its wiring.
func Example() {
	run := func(ctx context.Context, log zerolog.Logger) error {
		cfg, err := function.LoadConfig[function.Config]()
		if err != nil {
			return err
		}
		svc, err := function.New("greeter", cfg, log)
		if err != nil {
			return err
		}
		svc.HandleEvents(func(ctx context.Context, e *event.Event) (*event.Event, error) {
			zerolog.Ctx(ctx).Debug().Msg("hello " + e.Subject())
			return nil, nil
		})
		return svc.Run(ctx)
	}
	main := func() { function.Main("greeter", run) }
	_ = main // the program's func main
}
