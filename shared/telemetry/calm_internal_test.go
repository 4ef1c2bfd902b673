package telemetry

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

// calmLog is a logger whose clock the test moves, and its lines.
func calmLog() (log zerolog.Logger, lines func() []map[string]any, move func(time.Duration)) {
	var out bytes.Buffer
	now := time.Now()
	w := &calm{w: &out, now: func() time.Time { return now }, kinds: map[kind]*repeats{}}
	lines = func() (all []map[string]any) {
		for l := range strings.Lines(out.String()) {
			var m map[string]any
			if err := json.Unmarshal([]byte(l), &m); err != nil {
				panic(fmt.Sprintf("%v: %s", err, l))
			}
			all = append(all, m)
		}
		out.Reset()
		return all
	}
	return zerolog.New(w), lines, func(d time.Duration) { now = now.Add(d) }
}

func TestAFaultThatRepeatsIsSummedUp(t *testing.T) {
	log, lines, move := calmLog()
	fail := func(n int) {
		log.Warn().Str("participant_context", "a").Int("status", 503).Str("problem_id", fmt.Sprintf("%012x", n)).
			Err(fmt.Errorf("dial tcp 127.0.0.1:%d: refused, problem %012x", 30000+n, n)).Msg("request failed")
	}
	for n := range 100 {
		fail(n)
	}
	if got := lines(); len(got) != calmBurst {
		t.Fatalf("%d lines", len(got))
	}
	move(calmWindow)
	log.Info().Msg("something else")
	got := lines()
	if len(got) != 2 || got[0]["repeated"] != 95.0 || got[0]["problem_id"] != fmt.Sprintf("%012x", 99) || got[1]["message"] != "something else" {
		t.Errorf("%v", got)
	}
	fail(1)
	if got := lines(); len(got) != 1 || got[0]["repeated"] != nil {
		t.Errorf("in the next window: %v", got)
	}
	move(calmWindow)
	log.Info().Msg("something else")
	if got := lines(); len(got) != 1 {
		t.Errorf("what did not repeat is summed up: %v", got)
	}
}

func TestLinesThatSayDifferentThingsPass(t *testing.T) {
	log, lines, _ := calmLog()
	for n := range 20 {
		log.Info().Msg("event handled")
		log.Warn().Str("participant_context", fmt.Sprint("tenant-", string(rune('a'+n)))).Msg("request failed")
		log.Error().Err(errors.New(strings.Repeat("x", n))).Msg("failed")
		log.Error().Int("status", 500+n).Msg("failed")
	}
	if got := lines(); len(got) != 80 {
		t.Errorf("%d lines of 80", len(got))
	}
}
