package dps_test

import (
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/shared/dps"
	"github.com/tidegate/tidegate/shared/problem"
)

// The state machine, written down from the text of DPS 1.0 and what EDC does, not from the code. A cell is the state that a
// signal leads to; "repeat" is a refusal that may be a repeated signal, "-" any other refusal.
const machine = `
CONSUMER     prepare   start  started   suspend    resume   terminate   completed  report-prepared  report-started  report-completed
INITIALIZED  PREPARED  -      -         -          -        TERMINATED  -          -                -               -
PREPARING    repeat    -      -         -          -        TERMINATED  -          PREPARED         -               -
PREPARED     repeat    -      STARTED   -          -        TERMINATED  -          repeat           -               -
STARTING     -         -      -         -          -        TERMINATED  -          -                -               -
STARTED      -         -      repeat    SUSPENDED  repeat   TERMINATED  COMPLETED  -                -               COMPLETED
SUSPENDED    -         -      -         repeat     STARTED  TERMINATED  -          -                -               -
COMPLETED    -         -      -         -          -        -           repeat     -                -               repeat
TERMINATED   -         -      -         -          -        repeat      -          -                -               -

PROVIDER     prepare   start    started   suspend    resume   terminate   completed  report-prepared  report-started  report-completed
INITIALIZED  -         STARTED  -         -          -        TERMINATED  -          -                -               -
PREPARING    -         -        -         -          -        TERMINATED  -          -                -               -
PREPARED     -         -        -         -          -        TERMINATED  -          -                -               -
STARTING     -         repeat   -         -          -        TERMINATED  -          -                STARTED         -
STARTED      -         repeat   -         SUSPENDED  repeat   TERMINATED  COMPLETED  -                repeat          COMPLETED
SUSPENDED    -         -        -         repeat     STARTED  TERMINATED  -          -                -               -
COMPLETED    -         -        -         -          -        -           repeat     -                -               repeat
TERMINATED   -         -        -         -          -        repeat      -          -                -               -
`

type cell struct {
	role   dps.Role
	from   dps.State
	signal dps.Signal
}

// expectation reads the machine: the words of a line stand under those of the last heading.
func expectation(t *testing.T) map[cell]string {
	t.Helper()
	want := map[cell]string{}
	var heading []string
	for line := range strings.Lines(machine) {
		words := strings.Fields(line)
		switch {
		case len(words) == 0:
		case words[0] == string(dps.Consumer) || words[0] == string(dps.Provider):
			heading = words
		case len(words) != len(heading):
			t.Fatalf("a line of %d words under a heading of %d: %s", len(words), len(heading), line)
		default:
			for i, w := range words[1:] {
				want[cell{dps.Role(heading[0]), dps.State(words[0]), dps.Signal(heading[i+1])}] = w
			}
		}
	}
	return want
}

func TestEveryStateAnswersEverySignal(t *testing.T) {
	want := expectation(t)
	if len(want) != 8*10*2 {
		t.Fatalf("the expectation has %d cells, want 8 states × 10 signals × 2 roles", len(want))
	}
	for c, w := range want {
		for _, dir := range []dps.Direction{dps.Pull, dps.Push} {
			to, err := dps.Transition(c.from, c.role, dir, c.signal)
			te, refused := errors.AsType[*dps.TransitionError](err)
			got := string(to)
			switch {
			case err == nil:
			case !refused || !problem.Is(err, problem.Conflict):
				t.Errorf("%v: the error is %v", c, err)
				continue
			case to != c.from || te.From != c.from || te.Role != c.role || te.Signal != c.signal:
				t.Errorf("%v: refused with state %s and %+v", c, to, te)
				continue
			case te.Repeated:
				got = "repeat"
			default:
				got = "-"
			}
			if got != w {
				t.Errorf("%s in %s, %s: %s, want %s", c.signal, c.from, c.role, got, w)
			}
		}
	}
}

func TestARefusedSignalSaysWhatIsAndWhatItNeeds(t *testing.T) {
	tests := map[cell]string{
		{dps.Consumer, dps.Terminated, dps.SignalResume}:  "the data flow is TERMINATED, which is final",
		{dps.Provider, dps.Started, dps.SignalStart}:      "the data flow exists already and is STARTED",
		{dps.Provider, dps.Starting, dps.SignalCompleted}: "the data flow is STARTING, completed needs STARTED",
		{dps.Provider, dps.Started, dps.SignalStarted}:    "started is not for the data plane of a provider",
	}
	for c, want := range tests {
		_, err := dps.Transition(c.from, c.role, dps.Pull, c.signal)
		e, ok := errors.AsType[*problem.Error](err)
		if !ok || e.Message != want {
			t.Errorf("%v: %v, want %q", c, err, want)
		}
	}
}

func TestNonsenseIsADefectAndNoConflict(t *testing.T) {
	for name, err := range map[string]error{
		"state":     second(dps.Transition("GONE", dps.Consumer, dps.Pull, dps.SignalStarted)),
		"role":      second(dps.Transition(dps.Prepared, "OBSERVER", dps.Pull, dps.SignalStarted)),
		"direction": second(dps.Transition(dps.Prepared, dps.Consumer, "", dps.SignalStarted)),
		"signal":    second(dps.Transition(dps.Prepared, dps.Consumer, dps.Pull, "pause")),
	} {
		if !problem.Is(err, problem.Internal) {
			t.Errorf("an unknown %s: %v", name, err)
		}
	}
}

func second[A any](_ A, err error) error { return err }

// Any sequence of signals, sent by control planes that repeat, reorder and invent them, keeps the promises of the text.
func TestWalksKeepThePromisesOfTheText(t *testing.T) {
	signals := []dps.Signal{
		dps.SignalPrepare, dps.SignalStart, dps.SignalStarted, dps.SignalSuspend, dps.SignalResume, dps.SignalTerminate,
		dps.SignalCompleted, dps.ReportPrepared, dps.ReportStarted, dps.ReportCompleted,
	}
	rapid.Check(t, func(t *rapid.T) {
		role := rapid.SampledFrom([]dps.Role{dps.Consumer, dps.Provider}).Draw(t, "role")
		dir := rapid.SampledFrom([]dps.Direction{dps.Pull, dps.Push}).Draw(t, "direction")
		async := rapid.Bool().Draw(t, "asynchronous")
		state, hasStarted := dps.Initialized, false
		for range rapid.IntRange(1, 40).Draw(t, "length") {
			signal := rapid.SampledFrom(signals).Draw(t, "signal")
			to, err := dps.Transition(state, role, dir, signal)
			if err != nil {
				if to != state {
					t.Fatalf("%s was refused and yet moved %s to %s", signal, state, to)
				}
				continue
			}
			if waiting, ok := dps.Asynchronous(signal); ok && async {
				to = waiting
			}
			switch {
			case state.Terminal():
				t.Fatalf("%s led out of %s", signal, state)
			case to == state:
				t.Fatalf("%s did not move %s", signal, state)
			case to == dps.Suspended && state != dps.Started, to == dps.Completed && state != dps.Started:
				t.Fatalf("%s led from %s to %s", signal, state, to)
			case to == dps.Started && role == dps.Consumer && state != dps.Prepared && state != dps.Suspended:
				t.Fatalf("a consumer's flow went from %s to STARTED", state)
			case to == dps.Prepared && role == dps.Provider:
				t.Fatal("a provider's flow was prepared")
			}
			hasStarted = hasStarted || to == dps.Started
			if (to == dps.Suspended || to == dps.Completed) && !hasStarted {
				t.Fatalf("%s without ever having started", to)
			}
			state = to
		}
		if !state.Terminal() {
			if to, err := dps.Transition(state, role, dir, dps.SignalTerminate); err != nil || to != dps.Terminated {
				t.Fatalf("terminate in %s: %s, %v", state, to, err)
			}
		}
	})
}

func TestOnlyPrepareAndStartMayBeAsynchronous(t *testing.T) {
	for signal, want := range map[dps.Signal]dps.State{
		dps.SignalPrepare: dps.Preparing, dps.SignalStart: dps.Starting, dps.SignalStarted: "", dps.SignalResume: "", dps.ReportStarted: "",
	} {
		if got, ok := dps.Asynchronous(signal); got != want || ok != (want != "") {
			t.Errorf("%s: %q, %v", signal, got, ok)
		}
	}
}

func TestTheFirstSignalTellsTheRole(t *testing.T) {
	for signal, want := range map[dps.Signal]dps.Role{dps.SignalPrepare: dps.Consumer, dps.SignalStart: dps.Provider, dps.SignalResume: ""} {
		if got, ok := dps.RoleOf(signal); got != want || ok != (want != "") {
			t.Errorf("%s: %q, %v", signal, got, ok)
		}
	}
}
