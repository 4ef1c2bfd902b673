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

const name = "transfer-pusher"

// handler sends one flow's data for one slice of time. An event only wakes it; what is to do it reads from the flow, the dataset and
// the push record (gateway), and from the consumer. So:
//
//   - The same event twice, one after the other: if all was sent, the flow is completed again, which is no error. If not, the second
//     goes on from the byte that the consumer names.
//   - Two at once, in one process or in two: one gets the lease on the push record by compare-and-set, the other is told to come again.
//   - Late or out of order: a flow that is not STARTED (suspended, terminated, or not yet) is left alone; its next event comes.
//   - Killed at any point: the consumer keeps what it has. One that knows no offsets gets the whole again, which to a PUT is the same.
type handler struct {
	mover    slices.Mover
	stores   *stores.Pool
	gateway  *gatewayapi.Client
	consumer *http.Client
	cfg      slices.Config
	draining <-chan struct{} // closed when the process is told to stop: the slice ends early
	now      func() time.Time
}

// mover is which flows are this function's.
func mover(tenants slices.Tenants, gateway *gatewayapi.Client) slices.Mover {
	return slices.Mover{Name: name, Role: dps.Provider, Direction: dps.Push, Tenants: tenants, Gateway: gateway}
}

// Handle handles dataflow.started, dataflow.resumed and transfer.progressed.
func (h *handler) Handle(ctx context.Context, e *event.Event) (*event.Event, error) {
	t, flow, err := h.mover.Wake(ctx, e)
	if err != nil || flow == nil {
		return nil, err
	}
	pc, id, log := t.ParticipantContextID, flow.DataFlowID, zerolog.Ctx(ctx)
	j := &job{handler: h, tenant: t, flow: flow, push: gatewayapi.Push{ID: id, DatasetID: flow.DatasetID}}
	j.revision, err = h.gateway.Get(ctx, pc, gatewayapi.KindPush, id, &j.push)
	switch {
	case err != nil && !problem.Is(err, problem.NotFound):
		return nil, err
	case j.push.Done:
		return nil, j.finish(ctx)
	case flow.State != dps.Started:
		log.Debug().Str("data_flow_id", id).Str("state", string(flow.State)).Msg("the flow is not started, nothing is sent")
		return nil, nil
	}
	return j.run(ctx)
}
