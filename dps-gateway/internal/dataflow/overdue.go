package dataflow

import (
	"context"
	"slices"

	"github.com/tidegate/tidegate/dps-gateway/internal/outbox"
	"github.com/tidegate/tidegate/shared/problem"
)

// Overdue ends the flows that still wait for a function's report when they are due, whichever gateway made them and whether it lives:
//
//   - one of which a control plane was promised a callback (202) waits for as long as its profile allows;
//   - one whose answer a gateway holds is ended by that gateway. If it has died meanwhile, the control plane, which saw its connection break,
//     may send its signal again, and then waits for what is left; so the flow has twice the time for which an answer is held.
type Overdue struct{ service *Service }

var _ outbox.Sender = Overdue{}

// Overdue returns the sender of outbox.LaneOverdue.
func (s *Service) Overdue() Overdue { return Overdue{s} }

// Send implements outbox.Sender. On the same entry twice, or when the flow has come to something meanwhile, it does nothing.
func (o Overdue) Send(ctx context.Context, e *outbox.Entry) error {
	f, err := o.service.store.Get(ctx, e.PC, e.Subject)
	switch {
	case problem.Is(err, problem.NotFound):
		return nil
	case err != nil:
		return err
	case !slices.Contains(waiting, f.State):
		return nil
	}
	_, err = o.service.store.Apply(ctx, o.service.end(f, unreported(f, f.ReportWithin)))
	return err
}
