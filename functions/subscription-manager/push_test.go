package main

import (
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/shared/dps"
	"github.com/tidegate/tidegate/shared/gatewayapi"
	"github.com/tidegate/tidegate/shared/management"
	"github.com/tidegate/tidegate/shared/tenant"
)

// TestASubscriptionSaysWhichWayTheDataComes: by push the transfer is of the other profile, planned before it is started, as for pull.
func TestASubscriptionSaysWhichWayTheDataComes(t *testing.T) {
	for direction, profile := range map[string]string{
		"": dps.ProfileHTTPPull, tenant.DirectionPull: dps.ProfileHTTPPull, tenant.DirectionPush: dps.ProfileHTTPPush,
	} {
		t.Run("direction "+direction, func(t *testing.T) {
			b := newBench(t)
			b.tenant.Subscribe[0].Direction = direction
			d := dataset("d1", "berlin.csv", "x")
			d.Distributions = []management.Distribution{{Format: dps.ProfileHTTPPull}, {Format: dps.ProfileHTTPPush}}
			b.offer(d)
			b.tick(0)
			b.conclude()
			b.tick(time.Minute)
			transfers := b.plane.Transfers()
			if len(transfers) != 1 || transfers[0].TransferType != profile {
				t.Fatalf("transfers %+v, want one by %s", transfers, profile)
			}
			if plan := b.plan(transfers[0].ID); plan.Sink == "" || plan.Key == "" || plan.SHA256 != digest("x") {
				t.Errorf("the plan: %+v", plan)
			}
		})
	}
	t.Run("a dataset that is not offered that way", func(t *testing.T) {
		b := newBench(t)
		b.tenant.Subscribe[0].Direction = tenant.DirectionPush
		b.offer(dataset("d1", "berlin.csv", "x"))
		b.tick(0)
		if r := b.supply("d1"); r.State != gatewayapi.SupplyFailed || !strings.Contains(r.LastError, dps.ProfileHTTPPush) {
			t.Errorf("%+v", r)
		}
	})
}
