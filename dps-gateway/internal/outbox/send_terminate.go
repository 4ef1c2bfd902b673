package outbox

import (
	"context"

	"github.com/tidegate/tidegate/shared/problem"
)

// TerminateSender terminates transfer processes by the Management API: EDC only logs an errored callback. It is the API of the control
// plane that the tenant's document names, and of no other: one that has registered itself decides on the errored callback, by which
// Data Plane Signaling tells it, and terminates the flow by its signal.
type TerminateSender struct {
	tenants   Tenants
	transfers TransfersOf
	flows     Flows
}

// NewTerminateSender returns a sender.
func NewTerminateSender(tenants Tenants, transfers TransfersOf, flows Flows) *TerminateSender {
	return &TerminateSender{tenants: tenants, transfers: transfers, flows: flows}
}

// Send implements Sender. A transfer that is unknown or has ended is terminated enough.
func (s *TerminateSender) Send(ctx context.Context, e *Entry) error {
	ctx, cancel := context.WithTimeout(ctx, callbackTimeout)
	defer cancel()
	t, ok := s.tenants.Get(e.PC)
	if !ok {
		return problem.New(problem.NotFound, "tenant %s is not in force", e.PC)
	}
	owner, err := s.flows.Owner(ctx, e.PC, e.Subject)
	if err != nil || owner != "" {
		return err
	}
	tr, err := s.transfers(t)
	if err != nil {
		return problem.Wrap(problem.Unavailable, err, "no way to the Management API of tenant %s", e.PC)
	}
	err = tr.TerminateTransfer(ctx, e.Subject, orElse(e.Reason, "the data flow can't go on"))
	switch {
	case err == nil, problem.Is(err, problem.NotFound):
		return nil
	case problem.Is(err, problem.Conflict), problem.Is(err, problem.Invalid):
		p, gerr := tr.GetTransfer(ctx, e.Subject)
		if gerr == nil && ended(p.State) {
			return nil
		}
		return problem.Wrap(problem.Upstream, err, "the control plane does not terminate the transfer")
	}
	return err
}
