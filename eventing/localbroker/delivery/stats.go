package delivery

import "sync/atomic"

// counters count since the start of the process.
type counters struct {
	delivered, retried, held, dead, dropped atomic.Int64
}

// Stats is what a dispatcher has done since its start, and what waits.
type Stats struct {
	Accepted  int64 `json:"accepted"`  // events stored, replies included
	Unmatched int64 `json:"unmatched"` // events that no Trigger wanted
	Replies   int64 `json:"replies"`   // events that were answers
	Delivered int64 `json:"delivered"` // deliveries that a subscriber has taken
	Retried   int64 `json:"retried"`   // attempts that failed and are repeated
	Held      int64 `json:"held"`      // attempts that found nobody listening
	Dead      int64 `json:"dead"`      // deliveries handed over to a dead letter sink
	Dropped   int64 `json:"dropped"`   // deliveries given up without a dead letter sink

	Backlog      int64 `json:"backlog"`      // deliveries to do
	BacklogBytes int64 `json:"backlogBytes"` // bytes of their events

	Triggers map[string]TriggerStats `json:"triggers"`
}

// TriggerStats are the figures of one Trigger.
type TriggerStats struct {
	Delivered   int64 `json:"delivered"`
	Retried     int64 `json:"retried"`
	Held        int64 `json:"held"`
	Dead        int64 `json:"dead"`
	Dropped     int64 `json:"dropped"`
	Waiting     int   `json:"waiting"`
	Running     int   `json:"running"`
	DeadLetters int   `json:"deadLetters"` // that wait for the dead letter sink
}

// Stats returns the figures of now.
func (d *Dispatcher) Stats() Stats {
	s := Stats{
		Accepted: d.accepted.Load(), Unmatched: d.unmatched.Load(), Replies: d.replies.Load(),
		Triggers: make(map[string]TriggerStats, len(d.triggers)),
	}
	s.Backlog, s.BacklogBytes = d.store.Backlog()
	for name, t := range d.triggers {
		ts := TriggerStats{
			Delivered: t.main.delivered.Load(), Retried: t.main.retried.Load(), Held: t.main.held.Load(), Dead: t.main.dead.Load(), Dropped: t.main.dropped.Load(),
		}
		ts.Waiting, ts.Running = t.main.waiting()
		if t.dead != nil {
			queued, running := t.dead.waiting()
			ts.DeadLetters = queued + running
			ts.Retried += t.dead.retried.Load()
			ts.Held += t.dead.held.Load()
		}
		s.Delivered += ts.Delivered
		s.Retried += ts.Retried
		s.Held += ts.Held
		s.Dead += ts.Dead
		s.Dropped += ts.Dropped
		s.Triggers[name] = ts
	}
	return s
}
