package main

import (
	"context"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/eventing/catalogue"
	"github.com/tidegate/tidegate/shared/problem"
)

// handler wakes on the schedule "sweep". The same tick twice, late, or beside another sweeps twice: the events of both have
// the same ids, and asset-publisher finds nothing to do for the second of each. What fails is left to the next tick, which
// is why a tick is never answered with a failure: a broker that repeats old ticks only adds to the load.
type handler struct {
	sweeper *sweeper
}

func (h *handler) Handle(ctx context.Context, e *event.Event) (*event.Event, error) {
	if e.Type() != catalogue.Schedule {
		return nil, problem.New(problem.Unprocessable, "events of type %s are not for %s", e.Type(), name)
	}
	if s, _ := e.Extensions()[catalogue.ExtSchedule].(string); s != "" && s != catalogue.ScheduleSweep {
		return nil, problem.New(problem.Unprocessable, "the schedule %q is not for %s", s, name)
	}
	if err := h.sweeper.sweep(ctx); err != nil {
		zerolog.Ctx(ctx).Warn().Err(err).Msg("the sweep is not complete, the next one goes on")
	}
	return nil, nil
}
