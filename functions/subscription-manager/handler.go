package main

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/eventing/catalogue"
	"github.com/tidegate/tidegate/functions/controlplanes"
	"github.com/tidegate/tidegate/functions/rules"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/management"
	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/tenant"
)

// tenants finds the tenants in force; *tenant.Registry does.
type tenants interface {
	Expect(participantContextID string) (*tenant.Tenant, error)
	All() []*tenant.Tenant
}

// controlPlane is what the manager needs of the Management API; *management.Client has it.
type controlPlane interface {
	Catalog(ctx context.Context, cp tenant.CounterParty, q management.Query) iter.Seq2[*management.Dataset, error]
	Dataset(ctx context.Context, cp tenant.CounterParty, id string) (*management.Dataset, error)
	StartNegotiation(ctx context.Context, cp tenant.CounterParty, o *management.Offer) (string, error)
	GetNegotiation(ctx context.Context, id string) (*management.Negotiation, error)
	QueryNegotiations(ctx context.Context, q management.Query) iter.Seq2[*management.Negotiation, error]
	TerminateNegotiation(ctx context.Context, id, reason string) error
	StartTransfer(ctx context.Context, id string, cp tenant.CounterParty, agreementID, transferType string) (string, error)
	GetTransfer(ctx context.Context, id string) (*management.Transfer, error)
	TerminateTransfer(ctx context.Context, id, reason string) error
}

// handler keeps one supply record per subscription and dataset, and moves each along: negotiating → agreed → transferring →
// delivered, or failed and tried again later. An event is only the reason to look at a record: what is done depends on the
// record and on what the control plane says now. So:
//
//   - The same event twice, late or out of order: the second look finds nothing to do.
//   - Two at once: every step is a conditional write of the record before the step is taken; the loser reads it again and goes
//     on from there.
//   - A crash between the write and the step: a transfer has an id that follows from the record, so starting it again finds it;
//     a negotiation, whose id only the control plane can give, is looked for among its newest before another is begun. The
//     one case that this does not cover is a control plane that takes a request longer after it was given up than lateTime.
//   - A lost event: the schedule looks at every record that is under way.
//   - A negotiation or a transfer that does not end is terminated, after negotiationTime or stallTime, before another begins.
type handler struct {
	tenants      tenants
	gateway      *gatewayapi.Client
	controlPlane func(*tenant.Tenant) (controlPlane, error)
	publish      func(context.Context, *event.Event) error
	now          func() time.Time
	pace         *pace
	selections   *tenant.Derived[[]*rules.Selection] // by the place of the subscription in the document
}

// Handle handles the schedule "supply" and, for the tenant that they name, negotiation.finalized, negotiation.terminated,
// transfer.terminated, dataflow.terminated and object.delivered.
func (h *handler) Handle(ctx context.Context, e *event.Event) (*event.Event, error) {
	return nil, controlplanes.Passing(h.handle(ctx, e))
}

func (h *handler) handle(ctx context.Context, e *event.Event) error {
	if e.Type() == catalogue.Schedule {
		h.lookAll(ctx)
		return nil
	}
	pc, err := catalogue.ParticipantContextID(e)
	if err != nil {
		return err
	}
	t, err := h.tenants.Expect(pc)
	if err != nil {
		return err
	}
	if len(t.Subscribe) == 0 {
		return nil
	}
	datasetID, err := h.datasetOf(ctx, t, e)
	if err != nil || datasetID == "" {
		return err
	}
	var errs []error
	for i := range t.Subscribe { // each for itself: one that can't go on now does not keep the others
		errs = append(errs, h.advance(ctx, t, i, datasetID, nil))
	}
	return errors.Join(errs...)
}

// datasetOf finds out which dataset an event is about; "" if none of ours.
func (h *handler) datasetOf(ctx context.Context, t *tenant.Tenant, e *event.Event) (string, error) {
	switch e.Type() {
	case catalogue.ObjectDelivered:
		d, err := catalogue.Data[catalogue.Delivered](e)
		return d.DatasetID, err
	case catalogue.DataFlowTerminated:
		d, err := catalogue.Data[catalogue.DataFlow](e)
		return d.DatasetID, err
	case catalogue.TransferTerminated:
		d, err := catalogue.Data[catalogue.Transfer](e)
		return d.DatasetID, err
	case catalogue.NegotiationFinalized, catalogue.NegotiationTerminated:
		d, err := catalogue.Data[catalogue.Negotiation](e)
		if err != nil || d.DatasetID != "" || d.NegotiationID == "" {
			return d.DatasetID, err
		}
		cp, err := h.controlPlane(t)
		if err != nil {
			return "", err
		}
		n, err := cp.GetNegotiation(ctx, d.NegotiationID)
		if problem.Is(err, problem.NotFound) {
			return "", nil
		}
		if err != nil {
			return "", err
		}
		return n.AssetID, nil
	}
	return "", problem.New(problem.Unprocessable, "events of type %s are not for this function", e.Type())
}

// tell publishes an event about a step. It is told before the record says that the step is done, so that it is told again if it
// was lost; with the same id, since it is about the same thing. One that the broker refuses for good holds nothing up.
func (h *handler) tell(ctx context.Context, t *tenant.Tenant, eventType, subject string, data any) error {
	e, err := catalogue.New(name, t.ParticipantContextID, eventType, subject, data)
	if err == nil {
		err = h.publish(ctx, e)
	}
	if err != nil && !problem.KindOf(err).Temporary() {
		zerolog.Ctx(ctx).Error().Err(err).Str("participant_context_id", t.ParticipantContextID).Str("event_type", eventType).Msg("the event could not be told")
		return nil
	}
	return err
}

var _ controlPlane = (*management.Client)(nil)
