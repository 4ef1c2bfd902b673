package delivery

import (
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/tidegate/tidegate/eventing/localbroker/filter"
	"github.com/tidegate/tidegate/eventing/localbroker/manifest"
	"github.com/tidegate/tidegate/eventing/localbroker/store"
	"github.com/tidegate/tidegate/shared/problem"
)

// extArrival is the extension in which Knative's ingress notes when an event has come.
const extArrival = "knativearrivaltime"

// Incoming is an event on its way in.
type Incoming struct {
	Event   *event.Event
	TTL     int         // how many more times a reply to it may become an event
	Headers [][2]string // that go along
}

// HasBroker tells whether there is such a Broker.
func (d *Dispatcher) HasBroker(b manifest.Name) bool {
	_, ok := d.brokers[b.String()]
	return ok
}

// Accept stores an event for each Trigger of the Broker that wants it, and returns its number when it is safe on disk; 0 if no
// Trigger wants it, in which case nothing is stored.
func (d *Dispatcher) Accept(b manifest.Name, in *Incoming) (uint64, error) {
	return d.accept(b.String(), in, nil)
}

// accept stores an event and ends the delivery that it is the reply to, if any, in the same transaction.
func (d *Dispatcher) accept(broker string, in *Incoming, answered []store.Key) (uint64, error) {
	now := time.Now()
	if _, ok := in.Event.Extensions()[extArrival]; !ok {
		in.Event.SetExtension(extArrival, now.UTC())
	}
	var wanted []*trigger
	for _, t := range d.brokers[broker] {
		if filter.Matches(t.filter, in.Event) {
			wanted = append(wanted, t)
		}
	}
	if len(wanted) == 0 {
		d.unmatched.Add(1)
		if len(answered) > 0 {
			d.store.Defer(&store.Change{Remove: answered})
		}
		return 0, nil
	}
	if !FitsHeaders(in.Event) {
		if err := Structured(in.Event); err != nil {
			return 0, problem.New(problem.Invalid, "attributes that fit no header, and data that fits no JSON: %w", err)
		}
	}
	r := &store.Record{Accepted: now, TTL: in.TTL, Broker: broker, Headers: in.Headers}
	if err := r.FromEvent(in.Event); err != nil {
		return 0, err
	}
	names := make([]string, len(wanted))
	for i, t := range wanted {
		names[i] = t.name
	}
	seqs, err := d.store.Commit(&store.Change{Events: []store.NewEvent{{Record: r, Triggers: names}}, Remove: answered})
	if err != nil {
		return 0, err
	}
	d.accepted.Add(1)
	for _, t := range wanted {
		t.main.push(item{seq: seqs[0]})
	}
	return seqs[0], nil
}

// Backlog returns the number of deliveries to do and the bytes of their events.
func (d *Dispatcher) Backlog() (deliveries, size int64) { return d.store.Backlog() }

// Outstanding tells whether an event that Accept gave this number still waits for a subscriber or a dead letter sink.
func (d *Dispatcher) Outstanding(seq uint64) bool { return seq != 0 && d.store.Live(seq) }
