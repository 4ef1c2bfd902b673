package main

import (
	"context"
	"net/http"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/eventing/catalogue"
	"github.com/tidegate/tidegate/functions/slices"
	"github.com/tidegate/tidegate/functions/stores"
	"github.com/tidegate/tidegate/shared/dps"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/tenant"
)

const name = "transfer-puller"

// tenants finds a tenant in force; *tenant.Registry does.
type tenants interface {
	Get(participantContextID string) (*tenant.Tenant, bool)
}

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
	tenants  tenants
	stores   *stores.Pool
	gateway  *gatewayapi.Client
	provider *http.Client
	cfg      slices.Config
	draining <-chan struct{} // closed when the process is told to stop: the slice ends early
	now      func() time.Time
}

// Handle handles dataflow.started, dataflow.resumed and transfer.progressed.
func (h *handler) Handle(ctx context.Context, e *event.Event) (*event.Event, error) {
	pc, err := catalogue.ParticipantContextID(e)
	if err != nil {
		return nil, err
	}
	id, ours, err := flowOf(e)
	if err != nil || !ours {
		return nil, err
	}
	t, ok := h.tenants.Get(pc)
	if !ok {
		return nil, problem.New(problem.NotFound, "no such participant context")
	}
	log := zerolog.Ctx(ctx)
	flow, err := h.gateway.Flow(ctx, pc, id)
	if problem.Is(err, problem.NotFound) {
		log.Debug().Str("data_flow_id", id).Msg("the flow is not known any more")
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if flow.Role != dps.Consumer || flow.Direction != dps.Pull {
		return nil, nil
	}
	j := &job{handler: h, tenant: t, flow: flow}
	j.revision, err = h.gateway.Get(ctx, pc, gatewayapi.KindDelivery, id, &j.delivery)
	switch {
	case problem.Is(err, problem.NotFound) && flow.State == dps.Started:
		return nil, again(time.Second, "nobody has said yet where the data is to go")
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

// flowOf returns the data flow that an event is about, and whether it may be one for us.
func flowOf(e *event.Event) (id string, ours bool, err error) {
	switch e.Type() {
	case catalogue.DataFlowStarted, catalogue.DataFlowResumed:
		d, err := catalogue.Data[catalogue.DataFlow](e)
		if err != nil {
			return "", false, err
		}
		id = d.DataFlowID
		ours = (d.Role == "" || d.Role == string(dps.Consumer)) && (d.Direction == "" || d.Direction == string(dps.Pull))
	case catalogue.TransferProgressed:
		d, err := catalogue.Data[catalogue.Transfer](e)
		if err != nil {
			return "", false, err
		}
		id, ours = d.TransferProcessID, true
	default:
		return "", false, problem.New(problem.Unprocessable, "events of type %s are not for %s", e.Type(), name)
	}
	if id == "" {
		return "", false, problem.Field("data", "names no data flow")
	}
	return id, ours, nil
}

// again is a passing failure after which the event should come again, not before wait is over.
func again(wait time.Duration, format string, args ...any) error {
	err := problem.New(problem.Unavailable, format, args...)
	err.RetryAfter = wait
	return err
}
