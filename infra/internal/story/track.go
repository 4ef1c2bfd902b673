package story

import (
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/tidegate/tidegate/eventing/catalogue"
	"github.com/tidegate/tidegate/shared/dps"
)

// Track is what has happened to one file so far. Times are when the event was heard here; zero = not yet.
type Track struct {
	DatasetID  string
	Name       string // the key in the provider's bucket
	Size       int64  // bytes
	SHA256     string // as published
	Published  time.Time
	Offered    time.Time // the consumer saw it in the catalog and started a negotiation
	Decided    time.Time
	Verdict    string
	Rule       string
	Reason     string
	Agreed     time.Time
	FlowID     string // of the consumer's data flow
	Started    time.Time
	Delivered  time.Time
	GotSHA256  string // as delivered
	GotSize    int64
	Slices     int
	Resumed    bool
	Deliveries int // how often it was delivered, whatever the version
	Withdrawn  time.Time
}

// step is one line of the story.
type step struct {
	name   string
	file   string
	detail string
}

// apply works an event into its track and returns the line that tells of it; no line if the event tells nothing new.
func (t *Teller) apply(e *event.Event, now time.Time) (step, bool) {
	switch e.Type() {
	case catalogue.DatasetPublished, catalogue.DatasetWithdrawn:
		return t.dataset(e, now)
	case catalogue.NegotiationInitiated, catalogue.NegotiationFinalized:
		return t.negotiation(e, now)
	case catalogue.NegotiationDecided:
		return t.decided(e, now)
	case catalogue.DataFlowStarted, catalogue.DataFlowSuspended, catalogue.DataFlowTerminated:
		return t.dataFlow(e, now)
	case catalogue.ObjectDelivered:
		return t.delivered(e, now)
	}
	return step{}, false
}

func (t *Teller) dataset(e *event.Event, now time.Time) (step, bool) {
	d, err := catalogue.Data[catalogue.Dataset](e)
	if err != nil {
		return step{}, false
	}
	tr := t.track(d.DatasetID)
	tr.Name = d.Key
	if e.Type() == catalogue.DatasetWithdrawn {
		tr.Withdrawn = now
		return step{"withdrawn", d.Key, "the offer is gone"}, true
	}
	tr.Size, tr.SHA256, tr.Published = d.Size, d.SHA256, now
	detail := Bytes(d.Size) + ", sha256 " + short(d.SHA256)
	if d.Replaced {
		detail += ", a new version"
	}
	return step{"published", d.Key, detail}, true
}

func (t *Teller) negotiation(e *event.Event, now time.Time) (step, bool) {
	d, err := catalogue.Data[catalogue.Negotiation](e)
	if err != nil {
		return step{}, false
	}
	if e.Type() == catalogue.NegotiationInitiated {
		tr := t.track(d.DatasetID)
		tr.Offered = now
		t.negotiations[d.NegotiationID] = d.DatasetID
		pc, _ := catalogue.ParticipantContextID(e)
		return step{"offered", tr.Name, pc + " found it in the catalog and asks for a contract"}, true
	}
	id, ours := t.negotiations[d.NegotiationID] // the provider's side finalizes too, under an id of its own
	if !ours {
		return step{}, false
	}
	tr := t.track(id)
	if !tr.Agreed.IsZero() {
		return step{}, false
	}
	tr.Agreed = now
	return step{"agreed", tr.Name, "agreement " + d.AgreementID}, true
}

func (t *Teller) decided(e *event.Event, now time.Time) (step, bool) {
	d, err := catalogue.Data[catalogue.Decided](e)
	if err != nil {
		return step{}, false
	}
	tr := t.track(d.DatasetID)
	again := tr.Verdict == d.Verdict && tr.Rule == d.Rule
	tr.Decided, tr.Verdict, tr.Rule, tr.Reason = now, d.Verdict, d.Rule, d.Reason
	if again {
		return step{}, false
	}
	detail := d.Verdict + " by rule " + d.Rule
	if d.Reason != "" {
		detail += ": " + d.Reason
	}
	return step{"decided", tr.Name, detail}, true
}

func (t *Teller) dataFlow(e *event.Event, now time.Time) (step, bool) {
	d, err := catalogue.Data[catalogue.DataFlow](e)
	if err != nil || d.Role != string(dps.Consumer) {
		return step{}, false
	}
	tr := t.track(d.DatasetID)
	switch e.Type() {
	case catalogue.DataFlowStarted:
		tr.FlowID, tr.Started = d.DataFlowID, now
		return step{"started", tr.Name, "data flow " + d.DataFlowID}, true
	case catalogue.DataFlowSuspended:
		return step{"suspended", tr.Name, d.Reason}, true
	}
	return step{"terminated", tr.Name, d.Reason}, true
}

func (t *Teller) delivered(e *event.Event, now time.Time) (step, bool) {
	d, err := catalogue.Data[catalogue.Delivered](e)
	if err != nil {
		return step{}, false
	}
	tr := t.track(d.DatasetID)
	tr.Delivered, tr.GotSHA256, tr.GotSize, tr.Slices, tr.Resumed = now, d.SHA256, d.Size, d.Slices, d.Resumed
	tr.Deliveries++
	detail := Bytes(d.Size) + " at " + d.Key + ", sha256 " + short(d.SHA256)
	switch d.SHA256 {
	case tr.SHA256:
		detail += ", equal"
	default:
		detail += ", not the version published last"
	}
	return step{"delivered", tr.Name, detail}, true
}

func (t *Teller) track(datasetID string) *Track {
	tr := t.tracks[datasetID]
	if tr == nil {
		tr = &Track{DatasetID: datasetID, Name: datasetID}
		t.tracks[datasetID] = tr
	}
	return tr
}

func short(digest string) string {
	if len(digest) > 12 {
		return digest[:12] + "…"
	}
	return digest
}
