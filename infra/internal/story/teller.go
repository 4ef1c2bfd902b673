// Package story tells what happens to each file, from the events that everybody may subscribe to: it is one more subscriber
// of the Broker, with a Trigger of its own. It keeps nothing that a restart would miss.
package story

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"sync"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"

	"github.com/tidegate/tidegate/eventing/catalogue"
)

// maxEvent bounds an event's size, maxSeen the memory of events heard already.
const (
	maxEvent = 1 << 20
	maxSeen  = 1 << 16
)

// Teller turns events into lines and tracks.
type Teller struct {
	check func(token string) bool

	mu           sync.Mutex
	out          io.Writer
	tracks       map[string]*Track
	negotiations map[string]string // the consumer's negotiation id → dataset id
	seen         map[string]struct{}
}

// NewTeller returns a teller that writes its lines to out; check says whether a bearer token is good.
func NewTeller(out io.Writer, check func(token string) bool) *Teller {
	return &Teller{
		check: check, out: out, tracks: map[string]*Track{}, negotiations: map[string]string{}, seen: map[string]struct{}{},
	}
}

// ServeHTTP takes one CloudEvent. An event of no interest is acknowledged like any other.
func (t *Teller) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet { // health
		w.WriteHeader(http.StatusOK)
		return
	}
	const prefix = "Bearer "
	if h := r.Header.Get("Authorization"); len(h) < len(prefix) || !t.check(h[len(prefix):]) {
		http.Error(w, "a bearer token is needed", http.StatusUnauthorized)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxEvent)
	e, err := cehttp.NewEventFromHTTPRequest(r)
	if err != nil {
		http.Error(w, "not a CloudEvent: "+err.Error(), http.StatusBadRequest)
		return
	}
	t.Tell(e)
	w.WriteHeader(http.StatusNoContent)
}

// Tell works in one event and writes its line.
func (t *Teller) Tell(e *event.Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	key := e.Source() + "\x00" + e.ID()
	if _, again := t.seen[key]; again {
		return
	}
	if len(t.seen) >= maxSeen {
		clear(t.seen)
	}
	t.seen[key] = struct{}{}
	now := time.Now()
	if s, ok := t.apply(e, now); ok {
		_, _ = fmt.Fprintf(t.out, "%s  %-10s  %s  %s\n", now.Format("15:04:05.000"), s.name, s.file, s.detail)
	}
}

// Tracks returns a copy of all tracks, by dataset id.
func (t *Teller) Tracks() map[string]Track {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := make(map[string]Track, len(t.tracks))
	for id, tr := range maps.All(t.tracks) {
		out[id] = *tr
	}
	return out
}

// Running returns the tracks whose transfer has started and not yet ended.
func (t *Teller) Running() []Track {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []Track
	for _, tr := range t.tracks {
		if !tr.Started.IsZero() && tr.Delivered.Before(tr.Started) {
			out = append(out, *tr)
		}
	}
	return out
}

// Types is what the teller wants to hear, for its Trigger.
func Types() []string {
	return []string{
		catalogue.DatasetPublished, catalogue.DatasetWithdrawn, catalogue.NegotiationInitiated, catalogue.NegotiationFinalized,
		catalogue.NegotiationDecided, catalogue.DataFlowStarted, catalogue.DataFlowSuspended, catalogue.DataFlowTerminated,
		catalogue.ObjectDelivered,
	}
}

// Bytes spells a size for people, in powers of 1024.
func Bytes(n int64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	v, exp := float64(n)/unit, 0
	for v >= unit && exp < 5 {
		v /= unit
		exp++
	}
	return fmt.Sprintf("%.1f %ciB", v, "KMGTPE"[exp])
}
