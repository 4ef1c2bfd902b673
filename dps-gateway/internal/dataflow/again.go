package dataflow

import (
	"context"

	"github.com/tidegate/tidegate/dps-gateway/internal/flowstore"
	"github.com/tidegate/tidegate/eventing/catalogue"
	"github.com/tidegate/tidegate/shared/dps"
	"github.com/tidegate/tidegate/shared/problem"
)

// startAgain resumes a provider's suspended flow by a second start: EDC up to 0.17 has no resume. creation is the start that
// found the flow there. The start keeps its signal, so that one that is sent twice gets the first answer here too; and it must
// be about the same transfer, or it is refused as the second start that it is.
func (s *Service) startAgain(ctx context.Context, c Call, creation *flowstore.Transition) (Answer, error) {
	again := creation.New
	f, err := s.store.Get(ctx, c.ParticipantContextID, again.DataFlowID)
	if err != nil {
		return nil, err
	}
	if f.Role != again.Role || f.Profile != again.Profile || f.AgreementID != again.AgreementID || f.DatasetID != again.DatasetID ||
		f.CounterPartyID != again.CounterPartyID {
		e := problem.New(problem.Conflict, "has a data flow already, suspended, which was started with other terms")
		e.Field = "processId"
		return nil, e
	}
	t := s.transition(c, flowstore.Start, creation.MessageID, creation.Fingerprint)
	t.DataFlowID, t.From, t.To = again.DataFlowID, []dps.State{dps.Suspended}, dps.Started
	return s.resume(ctx, c, t, f, creation.Address)
}

// startedAgain resumes a consumer's suspended flow by a second started. started is the one that found the flow suspended. On
// push it can't be: nothing in it or in its answer would carry a fresh address, and the old one died with the suspension.
func (s *Service) startedAgain(ctx context.Context, started *flowstore.Transition) (Answer, error) {
	if started.Address == nil {
		return nil, problem.Field("state", "is %s, and a started without a fresh address does not resume it", dps.Suspended)
	}
	started.From, started.Effects = []dps.State{dps.Suspended}, []flowstore.Effect{event(catalogue.DataFlowResumed)}
	return s.apply(ctx, started)
}
