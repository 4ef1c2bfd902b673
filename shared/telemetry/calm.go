package telemetry

import (
	"bytes"
	"encoding/json"
	"io"
	"regexp"
	"strconv"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

const (
	calmBurst  = 5 // lines of one kind that pass in a window
	calmWindow = 10 * time.Second
	calmKinds  = 1024 // that are told apart; with more at once all pass
)

// Calm returns a writer for a logger of JSON lines that keeps one fault from filling the log. Of the warnings and errors that say the
// same of the same tenant, whatever numbers and ids they name, five pass in ten seconds. Of the rest the last is written when that
// time is over and another line comes, with the member "repeated": how many it stands for, itself included. All other lines pass.
func Calm(w io.Writer) zerolog.LevelWriter {
	return &calm{w: w, now: time.Now, kinds: map[kind]*repeats{}}
}

type calm struct {
	w   io.Writer
	now func() time.Time

	mu    sync.Mutex
	kinds map[kind]*repeats
	due   time.Time // when the next window ends
}

// kind is what makes lines the same.
type kind struct {
	level                  zerolog.Level
	message, fault, tenant string
	status                 int
}

// repeats are the lines of a kind since the first of a window.
type repeats struct {
	until  time.Time
	passed int
	held   int
	last   []byte
}

// Write implements io.Writer for lines without a level.
func (c *calm) Write(p []byte) (int, error) { return c.WriteLevel(zerolog.NoLevel, p) }

// WriteLevel implements zerolog.LevelWriter.
func (c *calm) WriteLevel(level zerolog.Level, p []byte) (int, error) {
	now := c.now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.due.IsZero() && !now.Before(c.due) {
		c.sum(now)
	}
	if (level == zerolog.WarnLevel || level == zerolog.ErrorLevel) && c.hold(level, p, now) {
		return len(p), nil
	}
	return c.w.Write(p)
}

// hold tells whether a line is one too many, and keeps it then.
func (c *calm) hold(level zerolog.Level, p []byte, now time.Time) bool {
	k, ok := kindOf(level, p)
	if !ok {
		return false
	}
	r := c.kinds[k]
	if r == nil {
		if len(c.kinds) >= calmKinds {
			return false
		}
		r = &repeats{until: now.Add(calmWindow)}
		c.kinds[k] = r
		if c.due.IsZero() || r.until.Before(c.due) {
			c.due = r.until
		}
	}
	if r.passed < calmBurst {
		r.passed++
		return false
	}
	r.held++
	r.last = append(r.last[:0], p...)
	return true
}

// sum writes what the windows that are over have held, and begins anew.
func (c *calm) sum(now time.Time) {
	c.due = time.Time{}
	for k, r := range c.kinds {
		if now.Before(r.until) {
			if c.due.IsZero() || r.until.Before(c.due) {
				c.due = r.until
			}
			continue
		}
		delete(c.kinds, k)
		if r.held > 0 {
			_, _ = c.w.Write(repeated(r.last, r.held)) // whoever writes next is told if that fails
		}
	}
}

// repeated adds the number to a line.
func repeated(line []byte, n int) []byte {
	end := bytes.LastIndexByte(line, '}')
	if end < 0 {
		return line
	}
	out := append([]byte{}, line[:end]...)
	out = append(out, `,"repeated":`...)
	out = strconv.AppendInt(out, int64(n), 10)
	return append(out, '}', '\n')
}

// numbers are what differs between lines that say the same: counts, ports, times, ids.
var numbers = regexp.MustCompile(`[0-9a-f]{8,}|[0-9]+`)

func kindOf(level zerolog.Level, p []byte) (kind, bool) {
	var line struct {
		Message              string `json:"message"`
		Error                string `json:"error"`
		Status               int    `json:"status"`
		ParticipantContext   string `json:"participant_context"`
		ParticipantContextID string `json:"participant_context_id"`
	}
	if json.Unmarshal(p, &line) != nil {
		return kind{}, false
	}
	same := func(s string) string { return numbers.ReplaceAllString(s, "#") }
	return kind{level, same(line.Message), same(line.Error), line.ParticipantContext + line.ParticipantContextID, line.Status}, true
}
