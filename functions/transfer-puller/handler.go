package main

import (
	"context"
	"net/http"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/functions/slices"
	"github.com/tidegate/tidegate/functions/stores"
	"github.com/tidegate/tidegate/shared/dps"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/problem"
)

const name = "transfer-puller"

// handler moves one flow's data for one slice of time. An event only wakes it; what is to do it reads from the flow (gateway),
// the delivery record (gateway) and the sink. So:
//
//   - The same event twice, one after the other: if the object is delivered, the flow is completed again, which is no error, and
//     object.delivered is told again with the same id. If not, the second goes on where the first has stopped.
//   - Two at once, in one process or in two: one gets the lease on the delivery record by compare-and-set, the other is told
//     to come again. Should a lease run out under a process that hangs, the store's own lock or the compare-and-set of
//     the next renewal stops it.
//   - Late or out of order: a flow that is not STARTED (suspended, terminated, or not yet) is left alone; its next event comes.
//   - Killed at any point: what the sink holds safely is kept. If it was killed between commit and record, the object at the
//     sink is recognised by its digest and not fetched again.
type handler struct {
	mover    slices.Mover
	stores   *stores.Pool
	gateway  *gatewayapi.Client
	provider *http.Client
	cfg      slices.Config
	draining <-chan struct{} // closed when the process is told to stop: the slice ends early
	now      func() time.Time
}

// mover is which flows are this function's.
func mover(tenants slices.Tenants, gateway *gatewayapi.Client) slices.Mover {
	return slices.Mover{Name: name, Role: dps.Consumer, Direction: dps.Pull, Tenants: tenants, Gateway: gateway}
}

// Handle handles dataflow.started, dataflow.resumed and transfer.progressed.
func (h *handler) Handle(ctx context.Context, e *event.Event) (*event.Event, error) {
	t, flow, err := h.mover.Wake(ctx, e)
	if err != nil || flow == nil {
		return nil, err
	}
	pc, id, log := t.ParticipantContextID, flow.DataFlowID, zerolog.Ctx(ctx)
	j := &job{handler: h, tenant: t, flow: flow}
	j.revision, err = h.gateway.Get(ctx, pc, gatewayapi.KindDelivery, id, &j.delivery)
	switch {
	case problem.Is(err, problem.NotFound) && flow.State == dps.Started:
		return nil, slices.Again(time.Second, "nobody has said yet where the data is to go")
	case problem.Is(err, problem.NotFound):
		return nil, nil
	case err != nil:
		return nil, err
	case j.delivery.Done:
		return j.finish(ctx)
	case flow.State != dps.Started:
		log.Debug().Str("data_flow_id", id).Str("state", string(flow.State)).Msg("the flow is not started, nothing is pulled")
		return nil, nil
	}
	return j.run(ctx)
}
