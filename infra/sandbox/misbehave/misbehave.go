// Package misbehave makes the sandbox go wrong on purpose, per participant and reproducibly: decision number n of a kind is a
// pure function of the seed, the participant context, the kind and n. Counters start at 0 with the process and whenever a
// misbehaviour is set.
package misbehave

import (
	"encoding/binary"
	"hash/fnv"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/tidegate/tidegate/infra/sandbox/config"
)

// Injector decides what goes wrong.
type Injector struct {
	mu  sync.Mutex
	per map[string]*participant
}

type participant struct {
	config.Misbehaviour

	drawn   map[string]uint64 // decisions made, by kind
	refused map[string]int    // callbacks refused, by process
}

// New returns an injector that lets everything pass.
func New() *Injector { return &Injector{per: map[string]*participant{}} }

// Set replaces the misbehaviour of a participant and starts its counters anew.
func (i *Injector) Set(pc string, m config.Misbehaviour) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.per[pc] = &participant{Misbehaviour: m, drawn: map[string]uint64{}, refused: map[string]int{}}
}

// Get returns the misbehaviour of a participant, all zero if there is none.
func (i *Injector) Get(pc string) config.Misbehaviour {
	i.mu.Lock()
	defer i.mu.Unlock()
	if p := i.per[pc]; p != nil {
		return p.Misbehaviour
	}
	return config.Misbehaviour{}
}

// draw is the next decision of a kind, a number from [0, 1).
func (p *participant) draw(pc, kind string) float64 {
	n := p.drawn[kind]
	p.drawn[kind]++
	h := fnv.New64a()
	_, _ = h.Write([]byte(pc + "\x00" + kind))
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], n)
	_, _ = h.Write(b[:])
	return rand.New(rand.NewPCG(p.Seed, h.Sum64())).Float64() //nolint:gosec // reproducible on purpose
}

func (i *Injector) hit(pc, kind string, rate func(*config.Misbehaviour) float64) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	p := i.per[pc]
	if p == nil {
		return false
	}
	r := rate(&p.Misbehaviour)
	return r > 0 && p.draw(pc, kind) < r
}

// Fault is what happens to one management call.
type Fault struct {
	Delay  time.Duration
	Before bool // answered 5xx without effect
	After  bool // has its effect, then is answered 5xx
}

// Call decides about a management call.
func (i *Injector) Call(pc string) Fault {
	var f Fault
	i.mu.Lock()
	if p := i.per[pc]; p != nil && p.Slow.MaxMS > 0 {
		span := float64(p.Slow.MaxMS - p.Slow.MinMS + 1)
		f.Delay = time.Duration(p.Slow.MinMS+int(p.draw(pc, "slow")*span)) * time.Millisecond
	}
	i.mu.Unlock()
	f.Before = i.hit(pc, "error", func(m *config.Misbehaviour) float64 { return m.ErrorRate })
	f.After = !f.Before && i.hit(pc, "errorAfter", func(m *config.Misbehaviour) float64 { return m.ErrorAfterRate })
	return f
}

// EventFate is what happens to one event.
type EventFate struct{ Lost, Twice, Late bool }

// Event decides about an event.
func (i *Injector) Event(pc string) EventFate {
	return EventFate{
		Lost:  i.hit(pc, "lose", func(m *config.Misbehaviour) float64 { return m.LoseEvents }),
		Twice: i.hit(pc, "duplicate", func(m *config.Misbehaviour) float64 { return m.DuplicateEvents }),
		Late:  i.hit(pc, "reorder", func(m *config.Misbehaviour) float64 { return m.ReorderEvents }),
	}
}

// DPS decides about a data plane call: made again with the same message, or with a new messageId.
func (i *Injector) DPS(pc string) (same, fresh bool) {
	return i.hit(pc, "dps", func(m *config.Misbehaviour) float64 { return m.DuplicateDPS }),
		i.hit(pc, "dpsNew", func(m *config.Misbehaviour) float64 { return m.DuplicateDPSNew })
}

// RefuseCallback reports whether this callback of a process is one of the first that are refused.
func (i *Injector) RefuseCallback(pc, process string) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	p := i.per[pc]
	if p == nil || p.refused[process] >= p.RefuseCallbacks {
		return false
	}
	p.refused[process]++
	return true
}
