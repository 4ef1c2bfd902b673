package gatewayapi

import "github.com/tidegate/tidegate/shared/dps"

// PathHook is the path on which the gateway calls the function that serves a transfer profile: HookRequest → HookAnswer.
//
// A tenant's document names the function of a profile (profiles[].hook). It is asked before a flow is prepared, started or resumed,
// and told when one is suspended, terminated or completed:
//
//   - 200 with a HookAnswer: it is done. The side that owns the data address (the provider on pull, the consumer on push) must set it, for
//     a profile that is not the gateway's own.
//   - 202, to prepare and start only: it will be done. The function says so by Client.Prepared or Client.Started, or Client.Errored, within the
//     time that the profile gives it; else the flow ends, and it is told so.
//   - 4xx with a problem document: it is refused, and the control plane gets the status and the reason. What it was about does not happen. What
//     a function is only told of can't be refused.
//   - Anything else is a passing failure: the gateway asks again, for a question as long as the control plane waits, for what it tells until it
//     is taken or parked.
//
// The same call may come again, with the same Key: a control plane repeats what it lost the answer of, and so does the gateway. It must
// have the answer of the first one, or one that is as good while the first one's still holds.
//
// What is told may come late, since it comes from the outbox: after the flow was resumed, say. It is about everything that was made for
// revisions of the flow up to its own, and about nothing that was made for a later one.
const PathHook = "/hook"

// HookKind says what a hook is called for.
type HookKind string

// The kinds. Prepare and HookStarted come to the consumer's side, HookStart to the provider's, the others to both.
const (
	HookPrepare   HookKind = "prepare"   // asked: may the flow be made, and on push: what is the data address?
	HookStart     HookKind = "start"     // asked: may the data flow, and on pull: what is the data address?
	HookStarted   HookKind = "started"   // asked: the provider's side has started; on pull its data address is in the request
	HookResume    HookKind = "resume"    // asked: may the data flow again? The owner of the data address makes a fresh one
	HookSuspend   HookKind = "suspend"   // told: no data may flow
	HookTerminate HookKind = "terminate" // told: the flow has ended, no data may flow
	HookComplete  HookKind = "complete"  // told: the flow has done its work, no data may flow
)

// Asked tells whether the kind is a question, which may be refused.
func (k HookKind) Asked() bool {
	switch k {
	case HookPrepare, HookStart, HookStarted, HookResume:
		return true
	case HookSuspend, HookTerminate, HookComplete:
	}
	return false
}

// HookRequest is what a hook is called with.
type HookRequest struct {
	Kind HookKind `json:"kind"`
	// Key is the same each time that the same is asked or told.
	Key string `json:"key"`
	// Flow as it is, or as it is to be made: then its state is INITIALIZED. Its revision is the one that it has with what is asked or told.
	Flow Flow `json:"flow"`
	// DataAddress is the other side's, where it came with the signal: a provider's start of a push, a consumer's started of a pull, a resume.
	// It is a secret.
	DataAddress *dps.DataAddress `json:"dataAddress,omitempty"`
	// Reason of a suspend or a terminate.
	Reason string `json:"reason,omitempty"`
	// AnswerWithinMS is how long the gateway waits for this answer, in milliseconds.
	AnswerWithinMS int64 `json:"answerWithinMs"`
}

// HookAnswer is what a hook answers with 200, or reports after a 202.
type HookAnswer struct {
	// DataAddress of the flow, set by the side that owns it. Its endpointType is the profile, and may be left out.
	DataAddress *dps.DataAddress `json:"dataAddress,omitempty"`
	// Metadata is added to the flow's: what the function wants to be told with every later call. It is no secret.
	Metadata map[string]any `json:"metadata,omitempty"`
}
