package delivery

import (
	"time"

	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/eventing/localbroker/store"
)

// shownAnswer is how many bytes of a failed answer a log line shows.
const shownAnswer = 300

// report is what the log says about an attempt.
type report struct {
	seq      uint64
	verdict  verdict
	outcome  *outcome
	attempts int
	pause    time.Duration
	took     time.Duration
}

var verdictLevels = [...]zerolog.Level{finished: zerolog.DebugLevel, again: zerolog.WarnLevel, hold: zerolog.DebugLevel, giveUp: zerolog.ErrorLevel}

var verdictWords = [...]string{
	finished: "delivered", again: "delivery failed, will be repeated", hold: "nobody listens, the event waits", giveUp: "delivery given up",
}

// report writes the line of an attempt: quiet for what works, loud for what is given up.
func (d *Dispatcher) report(l *lane, r *store.Record, t *report) {
	ev := d.log.WithLevel(verdictLevels[t.verdict])
	if !ev.Enabled() {
		ev.Discard().Send()
		return
	}
	for _, a := range r.Attributes {
		switch a[0] {
		case "id":
			ev.Str("ce_id", a[1])
		case "type":
			ev.Str("ce_type", a[1])
		case "participantcontextid":
			ev.Str("participant_context_id", a[1])
		}
	}
	if t.verdict == again || t.verdict == giveUp {
		ev.Bytes("answer", t.outcome.body[:min(len(t.outcome.body), shownAnswer)])
	}
	ev.Uint64("seq", t.seq).Str("trigger", l.trigger).Bool("dead_letter", l.deadLetter).Int("status", t.outcome.code).
		Int("attempts", t.attempts).Dur("pause", t.pause).Dur("duration", t.took).Msg(verdictWords[t.verdict])
}

// reachability tells once when a subscriber has gone and once when it is back.
func (d *Dispatcher) reachability(l *lane, o *outcome) {
	if o.unreachable {
		d.log.Warn().Str("trigger", l.trigger).Str("url", l.target.url).Msg("nobody listens; its events wait")
		return
	}
	d.log.Info().Str("trigger", l.trigger).Str("url", l.target.url).Msg("is there again")
}
