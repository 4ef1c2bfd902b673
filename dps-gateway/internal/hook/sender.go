package hook

import (
	"context"
	"strconv"
	"time"

	"github.com/tidegate/tidegate/dps-gateway/internal/flowstore"
	"github.com/tidegate/tidegate/dps-gateway/internal/outbox"
	"github.com/tidegate/tidegate/eventing/catalogue"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/problem"
)

// tellTimeout bounds one try to tell a function, cold start included.
const tellTimeout = 30 * time.Second

// Flows reads data flows.
type Flows interface {
	Get(ctx context.Context, pc, id string) (*flowstore.Flow, error)
}

// Sender tells functions what the outbox holds for them. A function is told of a flow whatever the tenant's document says by now: it may
// hold open what has ended.
type Sender struct {
	client *Client
	flows  Flows
}

var _ outbox.Sender = (*Sender)(nil)

// NewSender returns a sender.
func NewSender(client *Client, flows Flows) *Sender { return &Sender{client: client, flows: flows} }

// Send implements outbox.Sender.
func (s *Sender) Send(ctx context.Context, e *outbox.Entry) error {
	ctx, cancel := context.WithTimeout(ctx, tellTimeout)
	defer cancel()
	r := &gatewayapi.HookRequest{
		Kind: gatewayapi.HookKind(e.Kind), Reason: e.Reason,
		Key: catalogue.ID("hook", e.PC, e.Subject, e.Kind, strconv.FormatInt(e.Revision, 10)),
		Flow: gatewayapi.Flow{
			ParticipantContextID: e.PC, DataFlowID: e.Subject, Role: e.Role, Direction: e.Direction, Profile: e.Profile,
			CounterPartyID: e.CounterPartyID, AgreementID: e.AgreementID, DatasetID: e.DatasetID, CreatedAt: e.At,
		},
	}
	f, err := s.flows.Get(ctx, e.PC, e.Subject)
	switch {
	case err == nil:
		if r.Kind == gatewayapi.HookTerminate && !f.State.Terminal() {
			return nil // it was about a flow that had not come to be, and now there is one
		}
		r.Flow = f.Flow
	case !problem.Is(err, problem.NotFound):
		return err
	}
	// What is told is of its own time, whatever has happened since.
	r.Flow.State, r.Flow.Revision, r.Flow.Reason, r.Flow.UpdatedAt, r.Flow.Hook = e.State, e.Revision, e.Reason, e.At, e.Hook
	return s.client.Tell(ctx, e.Hook, r)
}
