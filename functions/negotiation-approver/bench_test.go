package main

import (
	"context"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/eventing/catalogue"
	"github.com/tidegate/tidegate/functions/internal/eventtest"
	"github.com/tidegate/tidegate/functions/internal/gatewaytest"
	"github.com/tidegate/tidegate/functions/internal/planetest"
	"github.com/tidegate/tidegate/shared/function/functiontest"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/management"
	"github.com/tidegate/tidegate/shared/tenant"
)

const (
	pc       = "provider"
	consumer = "did:web:consumer.example"
	address  = "https://consumer.example/dsp"
)

// bench is a tenant that publishes, a gateway, a control plane and a broker's ingress.
type bench struct {
	tb      testing.TB
	tenant  *tenant.Tenant
	clock   *planetest.Clock
	faults  *planetest.Faults
	gateway *gatewaytest.Gateway
	plane   *planetest.Plane
	sink    *eventtest.Sink
	handler *handler
}

// newBench has the datasets small.csv, large.csv, secret.csv, members.csv, person.csv and gone.csv, which the rules approve,
// reject, reject, decide by claims, leave to a person and approve; gone.csv has been withdrawn.
func newBench(tb testing.TB, mode string) *bench {
	tb.Helper()
	b := &bench{
		tb: tb, clock: planetest.NewClock(), faults: &planetest.Faults{}, gateway: gatewaytest.New(tb), sink: &eventtest.Sink{},
		tenant: &tenant.Tenant{
			ParticipantContextID: pc,
			DID:                  "did:web:provider.example",
			Policies:             []tenant.Policy{{Name: "open"}},
			Publish:              []tenant.PublishRule{{Name: "all", Bucket: "out", Policy: "open"}},
			Approve: tenant.Approve{Mode: mode, Default: "review", Rules: []tenant.Rule{
				{Name: "secrets-stay", When: "asset.name.startsWith('secret')", Then: "reject", Reason: "secrets are not shared"},
				{Name: "not-too-large", When: "asset.size > 1000", Then: "reject", Reason: "too large"},
				{Name: "members", When: "asset.name.startsWith('members') && claims.membership == 'active'", Then: "approve", Reason: "a member"},
				{Name: "small", When: "asset.name.startsWith('small') || asset.name.startsWith('gone')", Then: "approve"},
			}},
		},
	}
	if mode == "veto" { // without claims, which a veto is not told
		b.tenant.Approve.Rules = append(b.tenant.Approve.Rules[:2], b.tenant.Approve.Rules[3:]...)
	} else { // rules without claims first
		r := b.tenant.Approve.Rules
		b.tenant.Approve.Rules = []tenant.Rule{r[0], r[1], r[3], {Name: "person", When: "asset.name.startsWith('person')", Then: "review", Reason: "somebody must look"}, r[2]}
	}
	for name, size := range map[string]int64{"small": 10, "large": 5000, "secret": 10, "members": 10, "person": 10, "gone": 10} {
		b.gateway.Put(tb, pc, gatewayapi.KindDataset, name, gatewayapi.Dataset{
			ID: name, Bucket: "out", Key: name + ".csv", Rule: "all", Size: size, ContentType: "text/csv", Withdrawn: name == "gone",
		})
	}
	b.plane = planetest.New(b.clock.Now)
	b.plane.Fail(func(string) gatewaytest.Fault { return b.faults.Next() })
	b.gateway.Fail(func(string, string) gatewaytest.Fault { return b.faults.Next() })
	b.sink.Fail(b.faults.Publication())
	log := zerolog.Nop()
	b.handler = &handler{
		tenants: b, gateway: b.gateway.Client, publish: b.sink.Publish, approvals: tenant.Derive(compile), now: b.clock.Now, log: &log,
		deadline:     10 * time.Second,
		controlPlane: func(*tenant.Tenant) (controlPlane, error) { return b.plane, nil },
	}
	return b
}

func (b *bench) Expect(id string) (*tenant.Tenant, error) { return functiontest.Expect(b.tenant, id) }

func (b *bench) All() []*tenant.Tenant { return []*tenant.Tenant{b.tenant} }

// asks begins a negotiation of the consumer about a dataset.
func (b *bench) asks(id, datasetID string) {
	b.plane.AddNegotiation(management.Negotiation{
		ID: id, Type: planetest.Provider, State: "REQUESTED", CounterPartyID: consumer, CounterPartyAddress: address, AssetID: datasetID,
	})
}

func (b *bench) handle(e *event.Event) error {
	reply, err := b.handler.Handle(context.Background(), e)
	b.sink.Add(reply)
	return err
}

// tell delivers an event of the catalogue.
func (b *bench) tell(eventType string, data any) error {
	b.tb.Helper()
	e, err := catalogue.New("test", pc, eventType, "subject", data)
	if err != nil {
		b.tb.Fatal(err)
	}
	return b.handle(e)
}

func (b *bench) told(eventType, id string) {
	b.tb.Helper()
	if err := b.tell(eventType, catalogue.Negotiation{NegotiationID: id}); err != nil {
		b.tb.Fatalf("%s: %v", eventType, err)
	}
}

// verdict is the event of a person's verdict, given at the bench's time.
func (b *bench) verdict(decisionID, verdict, by string) *event.Event {
	b.tb.Helper()
	e, err := catalogue.New("test", pc, catalogue.VerdictGiven, decisionID, catalogue.Verdict{DecisionID: decisionID, Verdict: verdict, By: by, Reason: by + " says so"})
	if err != nil {
		b.tb.Fatal(err)
	}
	e.SetTime(b.clock.Now())
	return e
}

func (b *bench) reconcile() {
	b.tb.Helper()
	e := event.New()
	e.SetID("tick")
	e.SetType(catalogue.Schedule)
	e.SetSource("/tidegate/schedules")
	e.SetExtension(catalogue.ExtSchedule, catalogue.ScheduleReconcile)
	if err := b.handle(&e); err != nil {
		b.tb.Fatalf("the schedule's tick is not taken: %v", err)
	}
}

func (b *bench) decision(id string) gatewayapi.Decision {
	b.tb.Helper()
	d, _ := gatewaytest.Record[gatewayapi.Decision](b.tb, b.gateway, pc, gatewayapi.KindDecision, id)
	return d
}

func (b *bench) agreement(negotiationID string) gatewayapi.Decision {
	b.tb.Helper()
	return b.decision(gatewayapi.AgreementRecordID("agreement-of-" + negotiationID))
}
