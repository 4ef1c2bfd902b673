package slices

import (
	"context"
	"strconv"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/eventing/catalogue"
	"github.com/tidegate/tidegate/shared/dps"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/tenant"
)

// Tenants finds a tenant in force; *tenant.Registry does.
type Tenants interface {
	Expect(participantContextID string) (*tenant.Tenant, error)
}

// Mover is a function that moves the data of the flows of one role and direction, by HTTP.
type Mover struct {
	Name      string
	Role      dps.Role
	Direction dps.Direction
	Tenants   Tenants
	Gateway   *gatewayapi.Client
}

// Wake finds the flow that an event is about: dataflow.started, dataflow.resumed or transfer.progressed. Without an error and without a
// flow there is nothing to do: it is none of this function's, or not known any more.
func (m *Mover) Wake(ctx context.Context, e *event.Event) (*tenant.Tenant, *gatewayapi.Flow, error) {
	pc, err := catalogue.ParticipantContextID(e)
	if err != nil {
		return nil, nil, err
	}
	id, ours, err := m.flowOf(e)
	if err != nil || !ours {
		return nil, nil, err
	}
	t, err := m.Tenants.Expect(pc)
	if err != nil {
		return nil, nil, err
	}
	flow, err := m.Gateway.Flow(ctx, pc, id)
	if problem.Is(err, problem.NotFound) {
		zerolog.Ctx(ctx).Debug().Str("data_flow_id", id).Msg("the flow is not known any more")
		return nil, nil, nil
	}
	if err != nil || flow.Role != m.Role || flow.Direction != m.Direction || !dps.IsHTTP(flow.Profile) { // of other profiles their own functions take care
		return nil, nil, err
	}
	return t, flow, nil
}

// flowOf returns the data flow that an event is about, and whether it may be one of ours.
func (m *Mover) flowOf(e *event.Event) (id string, ours bool, err error) {
	switch e.Type() {
	case catalogue.DataFlowStarted, catalogue.DataFlowResumed:
		d, err := catalogue.Data[catalogue.DataFlow](e)
		if err != nil {
			return "", false, err
		}
		id = d.DataFlowID
		ours = (d.Role == "" || d.Role == string(m.Role)) && (d.Direction == "" || d.Direction == string(m.Direction)) &&
			(d.Profile == "" || dps.IsHTTP(d.Profile))
	case catalogue.TransferProgressed:
		d, err := catalogue.Data[catalogue.Transfer](e)
		if err != nil {
			return "", false, err
		}
		id, ours = d.TransferProcessID, true
	default:
		return "", false, problem.New(problem.Unprocessable, "events of type %s are not for %s", e.Type(), m.Name)
	}
	if id == "" {
		return "", false, problem.Field("data", "names no data flow")
	}
	return id, ours, nil
}

// Progress is how far a flow's data is at the end of a slice.
type Progress struct {
	DatasetID    string
	Offset, Size int64 // bytes
	Slices       int
}

// Progressed is the follow-up event by which the next slice begins.
func (m *Mover) Progressed(f *gatewayapi.Flow, p Progress) (*event.Event, error) {
	e, err := catalogue.New(m.Name, f.ParticipantContextID, catalogue.TransferProgressed, f.DataFlowID, catalogue.Transfer{
		TransferProcessID: f.DataFlowID, DatasetID: p.DatasetID, AgreementID: f.AgreementID, CounterPartyID: f.CounterPartyID,
		Offset: p.Offset, Size: p.Size, Slice: p.Slices,
	}, strconv.FormatInt(p.Offset, 10), strconv.Itoa(p.Slices))
	if err != nil {
		return nil, err
	}
	// For Triggers: whoever pulls is not woken by what is pushed.
	e.SetExtension(catalogue.ExtFlowRole, string(m.Role))
	e.SetExtension(catalogue.ExtFlowDirection, string(m.Direction))
	return e, nil
}

// Started returns ErrFlowEnded if the flow is not in the state any more in which it was found; nil if that can't be found out now.
func (m *Mover) Started(ctx context.Context, f *gatewayapi.Flow) error {
	now, err := m.Gateway.Flow(ctx, f.ParticipantContextID, f.DataFlowID)
	if err == nil && now.State != f.State {
		return ErrFlowEnded
	}
	return nil
}
