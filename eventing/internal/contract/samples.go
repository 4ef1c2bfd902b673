package contract

import (
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/tidegate/tidegate/eventing/catalogue"
)

const (
	sampleTenant  = "acme"
	sampleDigest  = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	sampleDataset = "acme-5891b5b522d5df086d0ff0b110fbd9d2"
	samplePeer    = "did:web:globex.example"
)

// SampleTime is when all samples happened.
var SampleTime = time.Date(2026, 11, 24, 9, 30, 0, 0, time.UTC)

// sampleFlow is a data flow in a state.
func sampleFlow(state string) catalogue.DataFlow {
	return catalogue.DataFlow{
		DataFlowID: "acme-7d865e959b2466918c9863afca942d0f", State: state, Role: "CONSUMER", Direction: "PULL", Profile: "http-pull",
		CounterPartyID: samplePeer, AgreementID: "agreement-1", DatasetID: "globex-prices", Revision: 3,
	}
}

// SampleData returns example data of a type: every member that such an event can have is set.
func SampleData(eventType string) any {
	object := catalogue.Object{
		Bucket: "outbox", Key: "2026/prices ä+b.csv", Size: 5120, StoreETag: "18bd-1400", ContentType: "text/csv", Modified: SampleTime.Add(-time.Minute),
	}
	dataset := catalogue.Dataset{
		DatasetID: sampleDataset, Bucket: "outbox", Key: "2026/prices ä+b.csv", Rule: "prices", Size: 5120, SHA256: sampleDigest, Replaced: true,
	}
	negotiation := catalogue.Negotiation{
		NegotiationID: "negotiation-1", CounterPartyID: samplePeer, CounterPartyAddress: "https://globex.example/dsp", DatasetID: sampleDataset,
	}
	transfer := catalogue.Transfer{
		TransferProcessID: "acme-7d865e959b2466918c9863afca942d0f", DatasetID: "globex-prices", AgreementID: "agreement-1", CounterPartyID: samplePeer,
	}
	switch eventType {
	case catalogue.ObjectCreated, catalogue.ObjectChanged:
		return object
	case catalogue.ObjectRemoved:
		return catalogue.Object{Bucket: object.Bucket, Key: object.Key}
	case catalogue.DatasetPublished, catalogue.DatasetWithdrawn:
		return dataset
	case catalogue.NegotiationInitiated, catalogue.NegotiationRequested:
		return negotiation
	case catalogue.NegotiationFinalized:
		negotiation.AgreementID = "agreement-1"
		return negotiation
	case catalogue.NegotiationTerminated:
		negotiation.Reason = "the offer is not on the list"
		return negotiation
	case catalogue.NegotiationDecided:
		return catalogue.Decided{
			NegotiationID: "negotiation-1", AgreementID: "agreement-1", DatasetID: sampleDataset, CounterPartyID: samplePeer,
			Verdict: "approved", Rule: "partners", Reason: "counterparty is a partner", By: "rule",
		}
	case catalogue.VerdictGiven:
		return catalogue.Verdict{DecisionID: "negotiation-1", Verdict: "rejected", By: "jane@acme.example", Reason: "no contract with them"}
	case catalogue.TransferRequested:
		return transfer
	case catalogue.TransferProgressed:
		transfer.Offset, transfer.Size, transfer.Slice = 1<<20, 5<<20, 1
		return transfer
	case catalogue.TransferTerminated:
		transfer.Reason = "the provider has gone"
		return transfer
	case catalogue.DataFlowPrepared:
		return sampleFlow("PREPARED")
	case catalogue.DataFlowStarted, catalogue.DataFlowResumed:
		return sampleFlow("STARTED")
	case catalogue.DataFlowSuspended:
		return sampleFlow("SUSPENDED")
	case catalogue.DataFlowCompleted:
		return sampleFlow("COMPLETED")
	case catalogue.DataFlowTerminated:
		f := sampleFlow("TERMINATED")
		f.Reason = "no decision was made in time"
		return f
	case catalogue.ObjectDelivered:
		return catalogue.Delivered{
			DataFlowID: "acme-7d865e959b2466918c9863afca942d0f", DatasetID: "globex-prices", AgreementID: "agreement-1", CounterPartyID: samplePeer,
			Sink: "inbox", Key: "globex/prices.csv", Size: 5 << 20, SHA256: sampleDigest, Slices: 5, Resumed: true,
		}
	}
	return nil
}

// Sample returns an example event of a type: the same each time.
func Sample(d *catalogue.Descriptor) (*event.Event, error) {
	if d.Type == catalogue.Schedule {
		e := event.New()
		e.SetID("b1c9a7de-5a3e-4f0e-9d53-0c4f7f3b9d11")
		e.SetType(d.Type)
		e.SetSource("/apis/v1/namespaces/default/pingsources/sweep")
		e.SetExtension(catalogue.ExtSchedule, catalogue.ScheduleSweep)
		return &e, nil
	}
	e, err := catalogue.New(d.Producers[0], sampleTenant, d.Type, sampleSubject(d.Type), SampleData(d.Type), "sample")
	if err != nil {
		return nil, err
	}
	e.SetTime(SampleTime)
	return e, nil
}

// sampleSubject is the subject that belongs to the sample's data.
func sampleSubject(eventType string) string {
	switch d := SampleData(eventType).(type) {
	case catalogue.Object:
		return d.Bucket + "/" + d.Key
	case catalogue.Delivered:
		return d.Sink + "/" + d.Key
	case catalogue.Dataset:
		return d.DatasetID
	case catalogue.Negotiation:
		return d.NegotiationID
	case catalogue.Decided:
		return d.NegotiationID
	case catalogue.Verdict:
		return d.DecisionID
	case catalogue.Transfer:
		return d.TransferProcessID
	case catalogue.DataFlow:
		return d.DataFlowID
	}
	return ""
}
