package dataflow

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"

	"github.com/tidegate/tidegate/dps-gateway/internal/flowstore"
	"github.com/tidegate/tidegate/dps-gateway/internal/outbox"
	"github.com/tidegate/tidegate/shared/dps"
	"github.com/tidegate/tidegate/shared/problem"
)

// Answer is a DataFlowStatusMessage as it goes on the wire. It may hold a secret.
type Answer []byte

// Promise tells whether the answer says that what was asked is yet to be done (202), and of which flow.
func (a Answer) Promise() (dataFlowID string, ok bool) {
	if !bytes.Contains(a, []byte(`ING"`)) {
		return "", false
	}
	var m dps.StatusMessage
	if json.Unmarshal(a, &m) != nil {
		return "", false
	}
	return m.DataFlowID, m.State == dps.Preparing || m.State == dps.Starting
}

func statusAnswer(id string, state dps.State, addr *dps.DataAddress) (Answer, error) {
	b, err := json.Marshal(dps.NewStatus(id, state, addr))
	if err != nil {
		return nil, problem.Wrap(problem.Internal, err, "the answer")
	}
	return b, nil
}

// fingerprint is a digest of what a message means: the message without its id. Two with the same fingerprint ask for the
// same. encoding/json writes members in a fixed order and sorts maps.
func fingerprint(message any) (string, error) {
	b, err := json.Marshal(message)
	if err != nil {
		return "", problem.Wrap(problem.Invalid, err, "the message")
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:]), nil
}

func event(eventType string) flowstore.Effect {
	return flowstore.Effect{Lane: outbox.LaneEvent, Kind: eventType}
}

// ErrTokenReused says that a signaling token came with another request before. The caller must answer it like any bad token.
var ErrTokenReused = problem.New(problem.Unauthenticated, "the token was used before (claim jti)")

// refusal makes the error of a transition that was refused.
func refusal(r flowstore.Result, signal flowstore.Signal, id string) error {
	switch r.Outcome {
	case flowstore.Applied, flowstore.Replayed, flowstore.Allowed:
		return nil
	case flowstore.Unknown:
		return problem.New(problem.NotFound, "no data flow %q", id)
	case flowstore.Exists:
		e := problem.New(problem.Conflict, "has a data flow already, in state %s, made by another message", r.State)
		if r.State == "" {
			e = problem.New(problem.Conflict, "has a data flow already")
		}
		e.Field = "processId"
		return e
	case flowstore.WrongState:
		return problem.Field("state", "is %s, which does not allow %s", r.State, signal)
	case flowstore.WrongRole:
		return problem.Field("state", "is %s on the other side of the transfer: %s is not for this data plane's role", r.State, signal)
	case flowstore.WrongWay:
		return problem.Field("dataAddress", "does not fit the direction of the data flow")
	case flowstore.Undecided:
		return problem.New(problem.Forbidden, "there is no decision on the agreement")
	case flowstore.InReview:
		return problem.New(problem.Forbidden, "the agreement is in review: %s", orElse(r.Reason, "a person must decide"))
	case flowstore.Rejected:
		return problem.New(problem.Forbidden, "the agreement is rejected: %s", orElse(r.Reason, "no reason was recorded"))
	case flowstore.NoDataset:
		return problem.Field("datasetId", "is not a dataset that this data plane serves")
	case flowstore.Withdrawn:
		return problem.Field("datasetId", "is withdrawn")
	case flowstore.TokenReused:
		return ErrTokenReused
	}
	return problem.New(problem.Internal, "unknown outcome %q of %s", r.Outcome, signal)
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}
