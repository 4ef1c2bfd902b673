package main

import (
	"testing"

	"github.com/tidegate/tidegate/shared/dps"
)

// address is the flow's data address with a token, which can be renewed.
func (b *bench) address(access string) dps.DataAddress {
	a := dps.NewBearerAddress(dps.ProfileHTTPPush, b.consumer.URL+"/ingest/1", access)
	a.Add(dps.PropertyRefreshToken, "refresh of "+access)
	a.Add(dps.PropertyExpiresIn, "60")
	return *a
}

func TestATokenThatIsRefusedIsRenewedAndThePushGoesOn(t *testing.T) {
	b := newBench(t, 1<<20)
	b.gateway.SetAddress(pc, flowID, b.address("ended"))
	renewals := 0
	b.gateway.Renew(func(refused string) (dps.DataAddress, bool) {
		renewals++
		return b.address(token), refused == sumOf([]byte("ended"))
	})
	if _, err := b.drive(); err != nil {
		t.Fatal(err)
	}
	b.arrived()
	if p := b.push(); renewals != 1 || p.Attempts != 0 {
		t.Errorf("%d renewals, %d refusals counted", renewals, p.Attempts)
	}
}

func TestATokenThatStaysRefusedEndsTheFlow(t *testing.T) {
	b := newBench(t, 1<<20)
	b.gateway.SetAddress(pc, flowID, b.address("ended"))
	b.gateway.Renew(func(string) (dps.DataAddress, bool) { return b.address("ended too"), true })
	if _, err := b.drive(); err != nil {
		t.Fatal(err)
	}
	if e := b.gateway.Errored(flowID); len(e) != 1 || e[0] != "the consumer answered 401" {
		t.Errorf("told %q", e)
	}
}
