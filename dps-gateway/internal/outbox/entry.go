// Package outbox sends what the gateway has promised to tell: events to the broker, callbacks to control planes, and
// terminations of transfer processes.
//
// Entries are appended to the stream of the tenant's shard in the same Redis step as the change that they tell of. A relay
// drains a shard under a lease, several entries at a time, in order within a subject and lane. An entry is removed from the
// stream when the other side has accepted it, or when it is parked with the reason, and never otherwise. A holder of the
// lease that dies while it sends leaves the entry, and the next holder sends it again: delivery is at least once, with the
// same event id and the same message id each time.
package outbox

import (
	"strconv"
	"strings"
	"time"

	"github.com/tidegate/tidegate/shared/dps"
)

// Lane says how an entry is sent.
type Lane string

// The lanes.
const (
	LaneEvent      Lane = "event"      // a CloudEvent to the broker
	LaneCallback   Lane = "callback"   // a DPS StatusMessage to the control plane
	LaneTerminate  Lane = "terminate"  // terminate a transfer process by the Management API of the tenant's document
	LaneHook       Lane = "hook"       // tell the function that serves the flow's profile
	LaneOverdue    Lane = "overdue"    // a flow whose function has not reported in time what it has promised, see due.go
	LaneDeadLetter Lane = "deadletter" // never in the outbox: events that the broker gave up, in the parked store
)

// Callback is what a callback says: the last segment of its path (DPS 1.0, control plane endpoints).
type Callback string

// The callbacks.
const (
	CallbackPrepared  Callback = "prepared"
	CallbackStarted   Callback = "started"
	CallbackCompleted Callback = "completed"
	CallbackErrored   Callback = "errored"
)

// Fields of an entry in the stream and in the parked store.
const (
	FieldFlow         = "flow" // the only one of what flowstore's script appends, see DecodeFlow
	FieldPC           = "pc"
	FieldLane         = "lane"
	FieldKind         = "kind"
	FieldSubject      = "subj"
	FieldEvent        = "ce"
	FieldState        = "state"
	FieldRole         = "role"
	FieldDirection    = "dir"
	FieldProfile      = "prof"
	FieldCounterParty = "cp"
	FieldAgreement    = "agr"
	FieldDataset      = "ds"
	FieldReason       = "reason"
	FieldRevision     = "rev"
	FieldAt           = "at"
	FieldTry          = "try"
	FieldHook         = "hook"
)

// Entry is one thing to send. It holds no secret.
type Entry struct {
	ID      string // in the stream
	PC      string // the participant context
	Lane    Lane
	Kind    string // event lane: the event's type; callback lane: a Callback; hook lane: a gatewayapi.HookKind
	Subject string // the data flow id, or the subject of Event; order is kept within (PC, Subject, Lane)
	Event   []byte // a CloudEvent in structured JSON; empty for the event of a flow, which the fields below make

	State          dps.State
	Role           dps.Role
	Direction      dps.Direction
	Profile        string
	CounterPartyID string
	AgreementID    string
	DatasetID      string
	Reason         string
	Hook           string    // hook lane: the function's name
	Revision       int64     // of the flow, after the change
	At             time.Time // when the change happened
	Try            int64     // how often it was re-driven after being parked
}

// Fields is the entry as it stands in the stream.
func (e *Entry) Fields() map[string]any {
	m := map[string]any{FieldPC: e.PC, FieldLane: string(e.Lane), FieldKind: e.Kind, FieldSubject: e.Subject, FieldAt: e.At.UnixMilli()}
	for k, v := range map[string]string{
		FieldEvent: string(e.Event), FieldState: string(e.State), FieldRole: string(e.Role), FieldDirection: string(e.Direction),
		FieldProfile: e.Profile, FieldCounterParty: e.CounterPartyID, FieldAgreement: e.AgreementID, FieldDataset: e.DatasetID, FieldReason: e.Reason,
		FieldHook: e.Hook,
	} {
		if v != "" {
			m[k] = v
		}
	}
	if e.Revision != 0 {
		m[FieldRevision] = e.Revision
	}
	if e.Try != 0 {
		m[FieldTry] = e.Try
	}
	return m
}

// flowLines are the lines of what flowstore's script appends.
const flowLines = 15

// DecodeFlow makes an entry of what flowstore's script appends for a transition: a line each for lane, kind, participant context,
// data flow, time, revision, state, role, direction, profile, counterparty, agreement, dataset, hook; what follows is the reason, which may
// have any number of lines. It is one text because each field of a stream entry costs time on the way in and on the way out.
func DecodeFlow(id, text string) Entry {
	p := strings.SplitN(text, "\n", flowLines)
	for len(p) < flowLines { // written by nobody: it will be given up and parked as it is
		p = append(p, "")
	}
	e := Entry{
		ID: id, Lane: Lane(p[0]), Kind: p[1], PC: p[2], Subject: p[3], At: time.UnixMilli(whole(p[4])).UTC(), Revision: whole(p[5]),
		State: dps.State(p[6]), Role: dps.Role(p[7]), Direction: dps.Direction(p[8]), Profile: p[9], CounterPartyID: p[10],
		AgreementID: p[11], DatasetID: p[12], Reason: p[14],
	}
	if e.Lane == LaneHook {
		e.Hook = p[13]
	}
	return e
}

func whole(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// Decode makes an entry of the fields of a stream message or of a parked entry.
func Decode(id string, fields map[string]string) Entry {
	if flow, ok := fields[FieldFlow]; ok {
		return DecodeFlow(id, flow)
	}
	num := func(name string) int64 { return whole(fields[name]) }
	return Entry{
		ID: id, PC: fields[FieldPC], Lane: Lane(fields[FieldLane]), Kind: fields[FieldKind], Subject: fields[FieldSubject],
		Event: []byte(fields[FieldEvent]), State: dps.State(fields[FieldState]), Role: dps.Role(fields[FieldRole]),
		Direction: dps.Direction(fields[FieldDirection]), Profile: fields[FieldProfile], CounterPartyID: fields[FieldCounterParty],
		AgreementID: fields[FieldAgreement], DatasetID: fields[FieldDataset], Reason: fields[FieldReason],
		Hook: fields[FieldHook], Revision: num(FieldRevision), At: time.UnixMilli(num(FieldAt)).UTC(), Try: num(FieldTry),
	}
}
