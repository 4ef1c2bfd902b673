package outbox

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/tidegate/tidegate/dps-gateway/internal/controlplane"
	"github.com/tidegate/tidegate/eventing/catalogue"
	"github.com/tidegate/tidegate/shared/dps"
	"github.com/tidegate/tidegate/shared/management"
	"github.com/tidegate/tidegate/shared/problem"
	"github.com/tidegate/tidegate/shared/tenant"
)

const callbackTimeout = 15 * time.Second

// Tenants are the tenants in force.
type Tenants interface {
	Get(participantContextID string) (*tenant.Tenant, bool)
}

// Flows tells of an entry's flow which control plane made it, and what has become of it; *flowstore.Redis does.
type Flows interface {
	// Owner is "" for the control plane of the tenant's document, else the id of the one that had registered itself.
	Owner(ctx context.Context, pc, id string) (string, error)
	// Ended tells whether the flow came to its end by something that happened after a revision.
	Ended(ctx context.Context, pc, id string, after int64) (bool, error)
}

// Transfers asks and tells the control plane of a tenant about its transfer processes.
type Transfers interface {
	GetTransfer(ctx context.Context, id string) (*management.Transfer, error)
	TerminateTransfer(ctx context.Context, id, reason string) error
}

// TransfersOf gives the Transfers of a tenant.
type TransfersOf func(t *tenant.Tenant) (Transfers, error)

// ControlPlanes calls the signaling API of control planes; *controlplane.Client does.
type ControlPlanes interface {
	Do(ctx context.Context, t *tenant.Tenant, dataFlowID, method, path string, body []byte, limit int64) (*controlplane.Answer, error)
}

var _ ControlPlanes = (*controlplane.Client)(nil)

// CallbackSender POSTs DPS callbacks to control planes (DPS 1.0, control plane endpoints).
type CallbackSender struct {
	tenants   Tenants
	transfers TransfersOf
	planes    ControlPlanes
	flows     Flows
	answers   Answers
}

// Answers gives the answer to the message that made a flow, which prepared and started tell in full: it may hold the data address.
type Answers interface {
	FirstAnswer(ctx context.Context, pc, id string) ([]byte, error)
}

// WithAnswers has prepared and started callbacks, of flows that a function serves, sent with what answers holds.
func (s *CallbackSender) WithAnswers(answers Answers) *CallbackSender {
	s.answers = answers
	return s
}

// NewCallbackSender returns a sender.
func NewCallbackSender(tenants Tenants, transfers TransfersOf, planes ControlPlanes, flows Flows) *CallbackSender {
	return &CallbackSender{tenants: tenants, transfers: transfers, planes: planes, flows: flows}
}

// Send implements Sender. EDC answers 401 until it has stored what prepare or start was answered, and 409 or 500 in a wrong
// state, so every refusal is tried again; but one about a transfer that has ended is not worth telling any more.
func (s *CallbackSender) Send(ctx context.Context, e *Entry) error {
	ctx, cancel := context.WithTimeout(ctx, callbackTimeout)
	defer cancel()
	t, ok := s.tenants.Get(e.PC)
	if !ok {
		return problem.New(problem.NotFound, "tenant %s is not in force", e.PC)
	}
	body, err := s.body(ctx, e)
	if body == nil {
		return err
	}
	err = s.post(ctx, t, e, body)
	switch problem.KindOf(err) { //nolint:exhaustive // the kinds by which a control plane refuses the state of a transfer
	case problem.Conflict, problem.NotFound, problem.Unauthenticated, problem.Internal, problem.Invalid, problem.Upstream:
		if err != nil && s.moot(ctx, t, e) {
			return nil
		}
	}
	if p, ok := err.(*problem.Error); ok && p.Kind == problem.Invalid { //nolint:errorlint // made by post itself
		p.Kind = problem.Upstream // a control plane that is not ready answers this as well
	}
	return err
}

// body is the message of a callback, the same each time that it is sent; nil if there is nothing to tell any more.
func (s *CallbackSender) body(ctx context.Context, e *Entry) ([]byte, error) {
	if kind := Callback(e.Kind); s.answers != nil && (kind == CallbackPrepared || kind == CallbackStarted) {
		body, err := s.answers.FirstAnswer(ctx, e.PC, e.Subject)
		if problem.Is(err, problem.NotFound) {
			return nil, nil // so much has happened to the flow since that the control plane must have known
		}
		return body, err
	}
	msg := dps.StatusMessage{
		MessageID:  catalogue.ID(string(e.Lane), e.PC, e.Subject, e.Kind, strconv.FormatInt(e.Revision, 10)),
		DataFlowID: e.Subject, State: e.State,
	}
	if Callback(e.Kind) == CallbackErrored {
		msg.Error = orElse(e.Reason, "the data flow can't go on")
	}
	body, err := json.Marshal(msg)
	if err != nil {
		return nil, problem.Wrap(problem.Unprocessable, err, "the callback")
	}
	return body, nil
}

func (s *CallbackSender) post(ctx context.Context, t *tenant.Tenant, e *Entry, body []byte) error {
	path := "/transfers/" + url.PathEscape(e.Subject) + "/dataflow/" + url.PathEscape(e.Kind)
	a, err := s.planes.Do(ctx, t, e.Subject, http.MethodPost, path, body, maxAnswer)
	if err != nil {
		return err
	}
	if a.Status >= 200 && a.Status <= 299 {
		return nil
	}
	return refusal("the control plane", a.Status, a.Body, a.RetryAfter)
}

// moot tells whether the transfer has ended at the control plane that made the flow: it needs no callback any more. The one of the document
// is asked by its Management API. One that has registered itself has no operation that tells (DPS 1.0), and the document's API knows
// nothing of its transfers, or means others by the same ids: but what it has signaled since stands in the flow.
func (s *CallbackSender) moot(ctx context.Context, t *tenant.Tenant, e *Entry) bool {
	owner, err := s.flows.Owner(ctx, e.PC, e.Subject)
	if err != nil {
		return false // the callback itself is what failed, and is tried again
	}
	if owner != "" {
		over, err := s.flows.Ended(ctx, e.PC, e.Subject, e.Revision)
		return err == nil && over
	}
	tr, err := s.transfers(t)
	if err != nil {
		return false
	}
	p, err := tr.GetTransfer(ctx, e.Subject)
	return err == nil && ended(p.State)
}

// ended tells whether a transfer process of EDC needs to hear nothing any more.
func ended(state string) bool {
	switch state {
	case "COMPLETED", "TERMINATED", "DEPROVISIONING", "DEPROVISIONING_REQUESTED", "DEPROVISIONED":
		return true
	}
	return false
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}
