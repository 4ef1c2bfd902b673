// Package flowstore keeps the data flows in Redis.
//
// Every transition is one Lua script and so one round trip: it recognises a repeated signal and gives the first answer again,
// checks the transition, for a provider's start checks the decision and the dataset, writes the flow, appends to the outbox
// what the change makes to be told, and tells the change to open streams. Nothing of a flow is kept in the process.
//
// A signal is a repeat if its message id was seen with this signal on this flow (the last 32 messages are remembered), or
// if its content is that of the flow's last message and nothing has happened since: a control plane that lost our answer
// sends the same again, sometimes under a new message id.
package flowstore

import (
	"context"
	"time"

	"github.com/tidegate/tidegate/dps-gateway/internal/outbox"
	"github.com/tidegate/tidegate/shared/dps"
	"github.com/tidegate/tidegate/shared/gatewayapi"
)

// Signal names what moves a flow: a DPS message, or a function's word.
type Signal string

// The signals. Those from Complete on come from functions, or from the gateway itself, the others from the control plane.
const (
	Prepare   Signal = "prepare"
	Start     Signal = "start"
	NotifyOn  Signal = "started"
	Suspend   Signal = "suspend"
	Resume    Signal = "resume"
	Terminate Signal = "terminate"
	Completed Signal = "completed"
	Complete  Signal = "complete"
	Errored   Signal = "errored"

	ReportPrepared Signal = "report-prepared" // what was promised by PREPARING
	ReportStarted  Signal = "report-started"  // what was promised by STARTING
	GiveUp         Signal = "give-up"         // nothing was reported in time
)

// Flow is a data flow without its data address.
type Flow struct {
	gatewayapi.Flow
	TokenID      string // of the access token in force; of the side that owns the data address
	ControlPlane string // that made it, if it is one that has registered itself; "" for the one of the tenant's document
	Promised     bool   // the control plane was answered that the flow is yet to be prepared or started: it waits for a callback
	// ReportWithin is how long a flow that is made to wait for its function's report waits before it is due (outbox.LaneOverdue); 0 = it
	// waits for none.
	ReportWithin time.Duration
}

// Effect is an outbox entry that a transition appends; the script fills in the flow's own members, and leaves out what is of the
// hook lane if the flow has no hook.
type Effect struct {
	Lane outbox.Lane
	Kind string // the event's type, the outbox.Callback, or the gatewayapi.HookKind; "" on the terminate lane
}

// Once makes a signaling token good for one request: the same token with another request is refused. The same request again
// is a retry below HTTP, which the replay rule then answers.
type Once struct {
	TokenID string        // the token's jti
	Request string        // digest of the request
	TTL     time.Duration // until the token expires
}

// Transition is one signal to one flow.
type Transition struct {
	ParticipantContextID string
	DataFlowID           string
	Signal               Signal
	MessageID            string      // "" if the message has none
	Fingerprint          string      // digest of the content that means something, without the message id
	New                  *Flow       // makes the flow if there is none; nil: the flow must be there
	From                 []dps.State // the states that allow the signal; none if it must make the flow
	To                   dps.State   // "" = the state stays
	Role                 dps.Role    // that the flow must have; "" = any
	Direction            dps.Direction
	Decided              *Decided
	Address              *dps.DataAddress
	DropAddress          bool
	TokenID              string // the new access token; "" = unchanged
	DropToken            bool   // no access token is good any more
	Reason               string
	Metadata             map[string]any // of the flow from now on; nil = unchanged
	Answer               []byte         // kept, to be given again
	Amends               bool           // Answer is from now on the answer to the message that made the flow, too
	Check                bool           // change nothing but the token's mark: Allowed says that the transition may be
	Effects              []Effect
	Once                 *Once
	Caller               *Caller // the control plane that signals; nil: no control plane does, and any flow of the tenant may be meant
	Now                  time.Time
}

// Caller is a control plane. A flow can be reached only by the one that made it.
type Caller struct {
	ControlPlane string // its id if it has registered itself; "" for the one that the tenant's document names
}

// Decided makes a transition need an approving decision on the agreement, made about the flow's dataset and counterparty, and
// the dataset itself, registered and not withdrawn.
type Decided struct {
	AgreementID, DatasetID string
	Unregistered           bool // the dataset need not be registered: a function knows what it serves
}

// Outcome of a transition.
type Outcome string

// The outcomes. Only Applied changed anything.
const (
	Applied     Outcome = "applied"
	Replayed    Outcome = "replayed"     // Answer is the first one
	Allowed     Outcome = "allowed"      // it was asked only (Check), and may be
	Unknown     Outcome = "unknown"      // no such flow
	Exists      Outcome = "exists"       // another message has made the flow
	WrongState  Outcome = "state"        // State does not allow the signal
	WrongRole   Outcome = "role"         // the flow is of the other role
	WrongWay    Outcome = "direction"    // the flow is of the other direction
	Undecided   Outcome = "undecided"    // no decision on the agreement
	InReview    Outcome = "review"       // a person must decide
	Rejected    Outcome = "rejected"     // decided against, or for something else; Reason says which
	NoDataset   Outcome = "no dataset"   // not registered here
	Withdrawn   Outcome = "withdrawn"    // the dataset's offer is gone
	TokenReused Outcome = "token reused" // Once does not hold
)

// Result of a transition.
type Result struct {
	Outcome  Outcome
	State    dps.State // of the flow, now
	Revision int64
	Answer   []byte
	Reason   string
}

// LiveFlow is what the data path needs to know of a flow on every request.
type LiveFlow struct {
	State          dps.State
	Role           dps.Role
	Direction      dps.Direction
	Profile        string
	TokenID        string // the access token in force
	AgreementID    string
	DatasetID      string
	DatasetVersion string // the dataset's SHA-256 when the flow started; "" on the consumer's side
	CounterPartyID string
	Revision       int64

	PreviousTokenID string // the one that TokenID has renewed; see Takes
}

// Ref names a flow.
type Ref struct{ ParticipantContextID, DataFlowID string }

// Change tells that something left the state in which its streams may go on. A Change with Recheck set names nothing: check
// every open stream, since messages may have been missed.
type Change struct {
	ParticipantContextID string
	DataFlowID           string // "" if the change is of a dataset
	DatasetID            string // set if a dataset was withdrawn or replaced
	State                dps.State
	Recheck              bool
}

// RecheckEvery is the bound on how long a stream may stay open after a change whose message was lost.
const RecheckEvery = 5 * time.Second

// Store keeps the flows of all tenants. Its errors are problem errors: NotFound, or Unavailable when Redis fails.
type Store interface {
	// Apply makes a transition, atomically, in one round trip. A refusal is an Outcome, not an error.
	Apply(ctx context.Context, t *Transition) (Result, error)
	// Get reads a flow.
	Get(ctx context.Context, pc, id string) (*Flow, error)
	// GetOnce reads a flow for a caller whose token is good for one request; ok is false if it was used for another.
	GetOnce(ctx context.Context, pc, id string, once *Once) (f *Flow, ok bool, err error)
	// Address reads the data address of a flow, a secret; NotFound if there is none.
	Address(ctx context.Context, pc, id string) (*dps.DataAddress, error)
	// FirstAnswer reads the answer to the message that made the flow, as it is by now (Transition.Amends): a DataFlowStatusMessage, which
	// may hold a secret. NotFound if there is no such flow, or so much has happened since that it was forgotten.
	FirstAnswer(ctx context.Context, pc, id string) ([]byte, error)
	// List returns a page of a tenant's flows that are not terminal, by id, after the given id.
	List(ctx context.Context, pc, after string, limit int) (gatewayapi.Page[gatewayapi.Flow], error)
	// Live reads what a data request needs; NotFound if there is no such flow.
	Live(ctx context.Context, pc, id string) (LiveFlow, error)
	// LiveMany reads several in one round trip per shard; an unknown flow has the zero LiveFlow.
	LiveMany(ctx context.Context, refs []Ref) ([]LiveFlow, error)
	// Watch tells changes until ctx ends. It always gives a Recheck at least every RecheckEvery and after a lost
	// connection, so no missed message leaves a stream open for longer. A reader that is slow gets a Recheck instead of
	// the changes that it missed.
	Watch(ctx context.Context) <-chan Change
}
