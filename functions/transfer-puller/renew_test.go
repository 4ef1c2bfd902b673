package main

import (
	"strings"
	"testing"

	"github.com/tidegate/tidegate/shared/dps"
)

// address is the flow's data address with a token, which can be renewed.
func (b *bench) address(access string) dps.DataAddress {
	a := dps.NewBearerAddress(dps.ProfileHTTPPull, b.provider.URL+"/data/1", access)
	a.Add(dps.PropertyRefreshToken, "refresh of "+access)
	a.Add(dps.PropertyExpiresIn, "60")
	return *a
}

func TestATokenThatIsRefusedIsRenewedAndThePullGoesOn(t *testing.T) {
	b := newBench(t, 1<<20)
	b.gateway.SetAddress(pc, flowID, b.address("ended"))
	renewals := 0
	b.gateway.Renew(func(refused string) (dps.DataAddress, bool) {
		renewals++
		return b.address(token), refused == sumOf([]byte("ended"))
	})
	reply, err := b.once()
	if err != nil {
		t.Fatal(err)
	}
	b.arrived(reply, b.provider.content)
	if n, _ := b.provider.counts(); n != 2 || renewals != 1 || b.delivery().Attempts != 0 {
		t.Errorf("%d requests, %d renewals, %d refusals counted", n, renewals, b.delivery().Attempts)
	}
}

func TestARefusalThatNoRenewalMendsEndsTheFlow(t *testing.T) {
	for name, renew := range map[string]func(b *bench) func(string) (dps.DataAddress, bool){
		"no other token is to be had": func(*bench) func(string) (dps.DataAddress, bool) { return nil },
		"the renewal is refused": func(*bench) func(string) (dps.DataAddress, bool) {
			return func(string) (dps.DataAddress, bool) { return dps.DataAddress{}, false }
		},
		"the renewed token is refused too": func(b *bench) func(string) (dps.DataAddress, bool) {
			return func(string) (dps.DataAddress, bool) { return b.address("ended too"), true }
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, 1<<20)
			b.gateway.SetAddress(pc, flowID, b.address("ended"))
			b.gateway.Renew(renew(b))
			if _, err := b.drive(b.handler, b.started()); err != nil {
				t.Fatal(err)
			}
			if told := b.gateway.Errored(flowID); len(told) != 1 || !strings.Contains(told[0], "401") {
				t.Errorf("the control plane is told %q", told)
			}
			if n, _ := b.provider.counts(); n > 2*b.handler.cfg.MaxRefusals {
				t.Errorf("the provider was asked %d times", n)
			}
		})
	}
}
