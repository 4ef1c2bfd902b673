package dps

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tidegate/tidegate/shared/problem"
)

// Signal is what moves a data flow: a message of the control plane, or a report of the data plane itself.
type Signal string

// The signals of the control plane, spelled as the last segment of their path (DPS 1.0, data plane endpoints).
const (
	SignalPrepare   Signal = "prepare"
	SignalStart     Signal = "start"
	SignalStarted   Signal = "started" // the counterparty's data plane has started; to the consumer's only
	SignalSuspend   Signal = "suspend"
	SignalResume    Signal = "resume"
	SignalTerminate Signal = "terminate"
	SignalCompleted Signal = "completed"
)

// The reports of the data plane itself. Each is also told to the control plane, by the callback of the same name.
const (
	ReportPrepared  Signal = "report-prepared"  // ends PREPARING
	ReportStarted   Signal = "report-started"   // ends STARTING
	ReportCompleted Signal = "report-completed" // the data is through
)

// rule says from which states a signal leads where, and which roles get it.
type rule struct {
	roles []Role
	from  []State
	to    State
}

var (
	both      = []Role{Consumer, Provider}
	notFinal  = []State{Initialized, Preparing, Prepared, Starting, Started, Suspended}
	allStates = []State{Initialized, Preparing, Prepared, Starting, Started, Suspended, Completed, Terminated}
)

// rules is the state machine (DPS 1.0, state machine). The direction has no say in it: it decides who carries a data
// address, see CheckAddress.
var rules = map[Signal]rule{
	SignalPrepare:   {[]Role{Consumer}, []State{Initialized}, Prepared},
	SignalStart:     {[]Role{Provider}, []State{Initialized}, Started},
	SignalStarted:   {[]Role{Consumer}, []State{Prepared}, Started},
	SignalSuspend:   {both, []State{Started}, Suspended},
	SignalResume:    {both, []State{Suspended}, Started},
	SignalTerminate: {both, notFinal, Terminated},
	SignalCompleted: {both, []State{Started}, Completed},
	ReportPrepared:  {[]Role{Consumer}, []State{Preparing}, Prepared},
	ReportStarted:   {[]Role{Provider}, []State{Starting}, Started},
	ReportCompleted: {both, []State{Started}, Completed},
}

// Transition returns the state that a signal leads to. A new flow is Initialized. Prepare and start may be answered
// asynchronously instead, see Asynchronous. The error is a *TransitionError, of kind Conflict.
func Transition(from State, role Role, dir Direction, signal Signal) (State, error) {
	r, ok := rules[signal]
	if !ok || !from.Valid() || (role != Consumer && role != Provider) || (dir != Pull && dir != Push) {
		return from, problem.New(problem.Internal, "no transition: state %q, role %q, direction %q, signal %q", from, role, dir, signal)
	}
	if !slices.Contains(r.roles, role) || !slices.Contains(r.from, from) {
		return from, newTransitionError(from, role, signal, r)
	}
	return r.to, nil
}

// Asynchronous returns the state in which a flow waits while prepare or start is carried out after the answer (202), until
// ReportPrepared or ReportStarted; false for signals that must be carried out at once.
func Asynchronous(signal Signal) (State, bool) {
	switch signal {
	case SignalPrepare:
		return Preparing, true
	case SignalStart:
		return Starting, true
	default:
		return "", false
	}
}

// RoleOf returns the role that a data plane has in a flow by the signal that began it; false for a signal that begins none.
func RoleOf(signal Signal) (Role, bool) {
	switch signal {
	case SignalPrepare:
		return Consumer, true
	case SignalStart:
		return Provider, true
	default:
		return "", false
	}
}

// Valid tells whether s is one of the states.
func (s State) Valid() bool { return slices.Contains(allStates, s) }

// TransitionError tells that a signal does not fit the state of a flow.
type TransitionError struct {
	From   State
	Role   Role
	Signal Signal
	// Repeated tells that the flow is where the signal leads already: the signal may be a repeat, which the caller may
	// answer like the first one. Control planes send again what was answered too late or not at all.
	Repeated bool

	shown *problem.Error
}

func newTransitionError(from State, role Role, signal Signal, r rule) *TransitionError {
	e := &TransitionError{From: from, Role: role, Signal: signal}
	if !slices.Contains(r.roles, role) {
		e.shown = problem.New(problem.Conflict, "%s is not for the data plane of a %s", signal, strings.ToLower(string(role)))
		return e
	}
	waiting, async := Asynchronous(signal)
	e.Repeated = from == r.to || (async && from == waiting)
	want := make([]string, len(r.from))
	for i, s := range r.from {
		want[i] = string(s)
	}
	switch {
	case from.Terminal():
		e.shown = problem.New(problem.Conflict, "the data flow is %s, which is final", from)
	case slices.Equal(r.from, []State{Initialized}):
		e.shown = problem.New(problem.Conflict, "the data flow exists already and is %s", from)
	default:
		e.shown = problem.New(problem.Conflict, "the data flow is %s, %s needs %s", from, signal, strings.Join(want, " or "))
	}
	return e
}

// Error implements error.
func (e *TransitionError) Error() string {
	return fmt.Sprintf("%s of a %s: %v", e.Signal, e.Role, e.shown)
}

// Unwrap returns the problem that a caller may be shown.
func (e *TransitionError) Unwrap() error { return e.shown }
