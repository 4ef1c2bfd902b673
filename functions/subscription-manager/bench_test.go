package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/tidegate/tidegate/eventing/catalogue"
	"github.com/tidegate/tidegate/functions/internal/eventtest"
	"github.com/tidegate/tidegate/functions/internal/gatewaytest"
	"github.com/tidegate/tidegate/functions/internal/planetest"
	"github.com/tidegate/tidegate/functions/rules"
	"github.com/tidegate/tidegate/shared/dps"
	"github.com/tidegate/tidegate/shared/function/functiontest"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/management"
	"github.com/tidegate/tidegate/shared/tenant"
)

const pc = "consumer"

// bench is a tenant with one subscription, a gateway, a control plane and a broker's ingress.
type bench struct {
	tb      testing.TB
	tenant  *tenant.Tenant
	clock   *planetest.Clock
	faults  *planetest.Faults
	gateway *gatewaytest.Gateway
	plane   *planetest.Plane
	sink    *eventtest.Sink
	handler *handler
	content map[string]string // by dataset, what the provider would send now
}

func newBench(tb testing.TB) *bench {
	tb.Helper()
	b := &bench{
		tb: tb, clock: planetest.NewClock(), faults: &planetest.Faults{}, gateway: gatewaytest.New(tb), sink: &eventtest.Sink{},
		content: map[string]string{},
		tenant: &tenant.Tenant{
			ParticipantContextID: pc,
			Subscribe: []tenant.Subscription{{
				Name: "weather", CounterParty: tenant.CounterParty{ID: "did:web:met.example", Address: "https://met.example/dsp"}, Sink: "inbox",
			}},
			Sinks: []tenant.Sink{{Name: "inbox", Bucket: "in", Prefix: "weather/"}},
		},
	}
	b.plane = planetest.New(b.clock.Now)
	b.plane.Fail(func(string) gatewaytest.Fault { return b.faults.Next() })
	b.gateway.Fail(func(string, string) gatewaytest.Fault { return b.faults.Next() })
	b.sink.Fail(b.faults.Publication())
	b.restart()
	return b
}

func (b *bench) Expect(id string) (*tenant.Tenant, error) { return functiontest.Expect(b.tenant, id) }

func (b *bench) All() []*tenant.Tenant { return []*tenant.Tenant{b.tenant} }

// restart replaces the process: it knows nothing any more.
func (b *bench) restart() { b.handler = b.process() }

// process is one more process of the function.
func (b *bench) process() *handler {
	return &handler{
		tenants: b, gateway: b.gateway.Client, publish: b.sink.Publish, now: b.clock.Now, pace: newPace(), selections: tenant.Derive(rules.CompileSelections),
		controlPlane: func(*tenant.Tenant) (controlPlane, error) { return b.plane, nil },
	}
}

func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

// dataset is a dataset of the catalog, with one offer without constraints.
func dataset(id, name, content string) *management.Dataset {
	return &management.Dataset{
		ID: id,
		Properties: map[string]any{
			"name": name, "sha256": digest(content), "size": strconv.Itoa(len(content)), "contenttype": "text/csv",
		},
		Offers:        []management.Offer{{ID: "offer-" + id, DatasetID: id, Policy: map[string]any{"permission": []any{map[string]any{"action": "use"}}}}},
		Distributions: []management.Distribution{{Format: dps.ProfileHTTPPull}},
	}
}

// offer puts a dataset into the catalog beside those that are there, or in place of its former version.
func (b *bench) offer(sets ...*management.Dataset) {
	for _, d := range sets {
		b.content[d.ID], _ = d.Properties["sha256"].(string)
	}
	b.plane.Offer(sets...)
}

// tick is the schedule's tick some time later.
func (b *bench) tick(later time.Duration) {
	b.tb.Helper()
	b.clock.Advance(later)
	if err := b.handle(b.scheduled()); err != nil {
		b.tb.Fatalf("a tick failed: %v", err)
	}
}

func (b *bench) scheduled() *event.Event {
	b.tb.Helper()
	e := event.New()
	e.SetID("tick")
	e.SetType(catalogue.Schedule)
	e.SetSource("/tidegate/schedules")
	e.SetExtension(catalogue.ExtSchedule, catalogue.ScheduleSupply)
	return &e
}

func (b *bench) handle(e *event.Event) error {
	reply, err := b.handler.Handle(context.Background(), e)
	if reply != nil {
		b.tb.Errorf("%s is answered with an event", e.Type())
	}
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

func (b *bench) supply(id string) gatewayapi.Supply {
	b.tb.Helper()
	r, _ := gatewaytest.Record[gatewayapi.Supply](b.tb, b.gateway, pc, gatewayapi.KindSupply, gatewayapi.SupplyID("weather", id))
	return r
}

func (b *bench) plan(transfer string) gatewayapi.Delivery {
	b.tb.Helper()
	d, ok := gatewaytest.Record[gatewayapi.Delivery](b.tb, b.gateway, pc, gatewayapi.KindDelivery, transfer)
	if !ok {
		b.tb.Fatalf("transfer %s was started without a plan for its delivery", transfer)
	}
	return d
}

// conclude finalizes every negotiation that is open.
func (b *bench) conclude() {
	for _, n := range b.plane.Negotiations() {
		if open(n) {
			b.plane.Conclude(n.ID, nil)
		}
	}
}

// deliver brings every transfer that is open to its end, as transfer-puller does: the record first, then the flow.
func (b *bench) deliver() {
	b.tb.Helper()
	for _, t := range b.plane.Transfers() {
		if running(t) {
			b.arrive(t)
			b.plane.SetTransfer(t.ID, "COMPLETED", "")
		}
	}
}

// arrive notes that a transfer's bytes are at the sink.
func (b *bench) arrive(t management.Transfer) {
	b.tb.Helper()
	d := b.plan(t.ID)
	d.Done, d.SHA256, d.UpdatedAt = true, b.content[t.AssetID], b.clock.Now()
	b.gateway.Put(b.tb, pc, gatewayapi.KindDelivery, t.ID, d)
}

func open(n management.Negotiation) bool {
	return n.State != "FINALIZED" && n.State != "TERMINATED" && n.State != "TERMINATING"
}

func running(t management.Transfer) bool { return t.State != "COMPLETED" && t.State != "TERMINATED" }

// supplied runs the main job to its end.
func (b *bench) supplied(id string) {
	b.tb.Helper()
	for range 10 {
		b.tick(time.Minute)
		b.conclude()
		b.deliver()
		if r := b.supply(id); r.State == gatewayapi.SupplyDelivered && r.DeliveredVersion == b.content[id] {
			return
		}
	}
	b.tb.Fatalf("dataset %s was not delivered: %+v", id, b.supply(id))
}
