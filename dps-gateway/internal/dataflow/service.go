// Package dataflow is what the gateway does with a data flow on a signal of Data Plane Signaling (DPS 1.0, state machine),
// without HTTP. A function may serve a transfer profile: it is asked before what is asked of it is done. What it promises for later is
// promised on (202) only to a control plane that can take it; EDC-V never finishes an asynchronous prepare or start, and is
// made to wait. A promise has its time: a flow whose function does not report ends (Overdue).
//
// Idempotence: a repeated signal gives the first answer and has no second effect, see flowstore.
package dataflow

import (
	"context"
	"slices"
	"time"

	"github.com/tidegate/tidegate/dps-gateway/internal/flowstore"
	"github.com/tidegate/tidegate/shared/dps"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/tenant"
)

// Grant says what an access token is for.
type Grant struct {
	ParticipantContextID string
	DataFlowID           string
	AgreementID          string
	DatasetID            string
	CounterPartyID       string
	Profile              string
	Direction            dps.Direction // pull: the token reads; push: it writes
}

// AddressIssuer makes the data addresses that this side owns, a provider's on pull and a consumer's on push: the endpoint, and an
// access token for it. It keeps nothing: a token is good while the live flow names its id.
type AddressIssuer interface {
	Issue(ctx context.Context, g Grant) (addr *dps.DataAddress, tokenID string, err error)
	// Endpoint is the endpoint of the addresses that Issue makes.
	Endpoint(g Grant) string
}

// Decider makes the decision on an agreement that has none yet, and has recorded it when it returns.
type Decider interface {
	Decide(ctx context.Context, req gatewayapi.DecideRequest) (gatewayapi.Decision, error)
}

// Agreements has the agreement of a flow told by a control plane that has registered itself, of which the control plane that the tenant's
// document names knows nothing. NotFound: it tells none.
type Agreements interface {
	ToldBy(ctx context.Context, pc, controlPlane, dataFlowID string) (*gatewayapi.Agreement, error)
}

// Options are settings of a Service.
type Options struct {
	AllowHTTP     bool          // accept data addresses that are not https; for development
	DecideTimeout time.Duration // how long a provider's start waits for a decision
	HookWait      time.Duration // how long a signal waits for a function's answer, and where it must, for what the function has promised
	ReportWithin  time.Duration // how long a flow that was promised to a control plane (202) waits for the function, where its profile does not say
	Agreements    Agreements    // nil if no control plane registers itself
	Hooks         Hooks         // nil if there are none
	Outbox        Appender      // tells functions that what they did came to nothing
	Now           func() time.Time
}

// Service moves data flows.
type Service struct {
	store   flowstore.Store
	issuer  AddressIssuer
	decider Decider
	opts    Options
}

// New returns a service.
func New(store flowstore.Store, issuer AddressIssuer, decider Decider, opts Options) *Service {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.DecideTimeout <= 0 {
		opts.DecideTimeout = 10 * time.Second
	}
	if opts.HookWait <= 0 {
		opts.HookWait = 10 * time.Second
	}
	if opts.ReportWithin <= 0 {
		opts.ReportWithin = time.Hour
	}
	return &Service{store: store, issuer: issuer, decider: decider, opts: opts}
}

// Call is who signals what about: the tenant, its control plane, the flow, and the token's mark.
type Call struct {
	ParticipantContextID string
	Caller               *flowstore.Caller // the control plane; nil: a function's word
	DataFlowID           string            // equals the process id
	Once                 *flowstore.Once
	StartsAgain          bool             // the control plane has no resume: a second start, or started, resumes a flow
	StartsBlind          bool             // a started of a pull may come without the address from which to pull
	Profiles             []tenant.Profile // that functions serve for the tenant
	Asynchronous         bool             // the control plane can take a promise (202) as the answer to prepare and start
}

// allowedFrom holds allowed of every signal to a flow that exists.
var allowedFrom = func() map[dps.Signal][]dps.State {
	m := map[dps.Signal][]dps.State{}
	for _, signal := range []dps.Signal{
		dps.SignalStarted, dps.SignalSuspend, dps.SignalResume, dps.SignalTerminate, dps.SignalCompleted,
	} {
		m[signal] = allowed(signal)
	}
	return m
}()

// allowed are the states out of which the state machine lets a signal lead, for the one role or the other.
func allowed(signal dps.Signal) []dps.State {
	var from []dps.State
	for _, state := range []dps.State{
		dps.Initialized, dps.Preparing, dps.Prepared, dps.Starting, dps.Started, dps.Suspended, dps.Completed, dps.Terminated,
	} {
		for _, role := range []dps.Role{dps.Consumer, dps.Provider} {
			if _, err := dps.Transition(state, role, dps.Pull, signal); err == nil && !slices.Contains(from, state) {
				from = append(from, state)
			}
		}
	}
	return from
}

// flow reads the flow of a call.
func (s *Service) flow(ctx context.Context, c Call) (*flowstore.Flow, error) {
	f, ok, err := s.store.GetOnce(ctx, c.ParticipantContextID, c.DataFlowID, c.Once)
	switch {
	case err != nil:
		return nil, err
	case !ok:
		return nil, ErrTokenReused
	case c.Caller != nil && f.ControlPlane != c.Caller.ControlPlane: // to another control plane it is none
		return nil, refusal(flowstore.Result{Outcome: flowstore.Unknown}, "", c.DataFlowID)
	}
	return f, nil
}

func (s *Service) transition(c Call, signal flowstore.Signal, messageID, fingerprint string) *flowstore.Transition {
	return &flowstore.Transition{
		ParticipantContextID: c.ParticipantContextID, DataFlowID: c.DataFlowID, Once: c.Once,
		Caller: c.Caller,
		Signal: signal, MessageID: messageID, Fingerprint: fingerprint, Now: s.opts.Now(),
	}
}
