package main

import (
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/functions/internal/gatewaytest"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/management"
	"github.com/tidegate/tidegate/shared/tenant"
)

const streamProfile = "https://met.example/profiles/stream-pull"

// newServedBench is a bench whose subscription names a profile that a function serves, with a transfer of it under way.
func newServedBench(t *testing.T) (*bench, management.Transfer) {
	t.Helper()
	b := newBench(t)
	b.tenant.Sinks, b.tenant.Subscribe[0].Sink, b.tenant.Subscribe[0].Profile = nil, "", streamProfile
	b.tenant.Profiles = []tenant.Profile{{Profile: streamProfile, Hook: "streams"}}
	d := dataset("d1", "../gauges", "x")
	d.Distributions = append(d.Distributions, management.Distribution{Format: streamProfile})
	b.offer(d)
	b.tick(0)
	b.conclude()
	b.tick(time.Minute)
	transfers := b.plane.Transfers()
	if len(transfers) != 1 || transfers[0].TransferType != streamProfile {
		t.Fatalf("transfers %+v of %+v", transfers, b.supply("d1"))
	}
	if d, ok := gatewaytest.Record[gatewayapi.Delivery](t, b.gateway, pc, gatewayapi.KindDelivery, transfers[0].ID); ok {
		t.Errorf("a delivery is planned: %+v", d)
	}
	return b, transfers[0]
}

func TestAStreamRunsForAsLongAsBothSidesWant(t *testing.T) {
	b, tp := newServedBench(t)
	for _, state := range []string{"STARTED", "SUSPENDED", "STARTED"} {
		b.plane.SetTransfer(tp.ID, state, "")
		for range 3 {
			b.tick(2 * stallTime)
		}
	}
	b.offer(func() *management.Dataset {
		d := dataset("d1", "gauges", "another version")
		d.Distributions = []management.Distribution{{Format: streamProfile}}
		return d
	}())
	b.tick(time.Minute)
	if now, _ := b.plane.GetTransfer(t.Context(), tp.ID); now.State != "STARTED" || len(b.plane.Transfers()) != 1 {
		t.Errorf("it is %s, and there are %d transfers", now.State, len(b.plane.Transfers()))
	}
}

func TestAStreamThatEndsIsBegunAnewAndOneThatIsCompleteIsNot(t *testing.T) {
	b, tp := newServedBench(t)
	b.plane.SetTransfer(tp.ID, "STARTED", "")
	b.tick(time.Minute)
	b.plane.SetTransfer(tp.ID, "TERMINATED", "the stream is gone")
	b.tick(time.Minute)
	if r := b.supply("d1"); r.State != gatewayapi.SupplyFailed || !strings.Contains(r.LastError, "the stream is gone") || r.Attempts != 1 {
		t.Fatalf("%+v", r)
	}
	b.tick(time.Minute)
	all := b.plane.Transfers()
	if len(all) != 2 || len(b.plane.Negotiations()) != 1 {
		t.Fatalf("%d transfers of %d negotiations", len(all), len(b.plane.Negotiations()))
	}
	second := b.supply("d1").TransferProcessID
	b.plane.SetTransfer(second, "STARTED", "")
	b.tick(settledTime / 2)
	if r := b.supply("d1"); r.Attempts != 1 {
		t.Errorf("a transfer that has only begun makes good for those that failed: %+v", r)
	}
	b.tick(settledTime)
	if r := b.supply("d1"); r.Attempts != 0 || r.LastError != "" {
		t.Errorf("one that runs does not: %+v", r)
	}
	b.plane.SetTransfer(second, "COMPLETED", "")
	for range 3 {
		b.tick(time.Hour)
	}
	if r := b.supply("d1"); r.State != gatewayapi.SupplyDelivered || r.DeliveredVersion != digest("x") || len(b.plane.Transfers()) != 2 {
		t.Errorf("%+v, %d transfers", r, len(b.plane.Transfers()))
	}
}

func TestAStreamThatDoesNotBeginIsGivenUp(t *testing.T) {
	b, tp := newServedBench(t)
	b.tick(stallTime + time.Minute)
	if now, _ := b.plane.GetTransfer(t.Context(), tp.ID); now.State != "TERMINATED" {
		t.Errorf("it is %s", now.State)
	}
	b.tick(time.Minute)
	if n := len(b.plane.Transfers()); n != 2 {
		t.Errorf("%d transfers", n)
	}
}
