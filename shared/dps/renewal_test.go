package dps_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidegate/tidegate/shared/dps"
	"github.com/tidegate/tidegate/shared/problem"
)

func renewable() *dps.DataAddress {
	a := dps.NewBearerAddress(dps.ProfileHTTPPull, "https://p.example/data/1", "access")
	a.Add(dps.PropertyRefreshToken, "refresh")
	a.Add(dps.PropertyExpiresIn, "600")
	a.Add(dps.PropertyRefreshEndpoint, "https://p.example/token")
	return a
}

func TestAnAddressThatCanNotBeRenewedIsRefusedByNameOfWhatIsMissing(t *testing.T) {
	if err := dps.DemandRenewal(renewable()); err != nil || !renewable().Renewable() {
		t.Errorf("a whole one: %v", err)
	}
	for _, name := range []string{"authorization", "authType", "refreshToken", "expiresIn", "refreshEndpoint"} {
		err := dps.DemandRenewal(renewable().With(name, ""))
		if e, ok := err.(*problem.Error); !ok || e.Kind != problem.Invalid || e.Field != "dataAddress.endpointProperties."+name { //nolint:errorlint // returned as it is
			t.Errorf("without %s: %v", name, err)
		}
	}
	for _, name := range []string{"authorization", "refreshToken", "expiresIn"} {
		if renewable().With(name, "").Renewable() {
			t.Errorf("renewable without %s", name)
		}
	}
	if !renewable().With("refreshEndpoint", "").Renewable() {
		t.Error("the endpoint itself may renew")
	}
}

func TestWithChangesACopy(t *testing.T) {
	a := renewable()
	b := a.With("authorization", "other").With("more", "1")
	want := renewable()
	want.EndpointProperties[0].Value = "other"
	want.Add("more", "1")
	if diff := cmp.Diff(want, b); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if diff := cmp.Diff(renewable(), a); diff != "" {
		t.Errorf("the original has changed:\n%s", diff)
	}
	a.Add("authorization", "second")
	if got := a.With("authorization", "x"); len(got.EndpointProperties) != 5 {
		t.Errorf("a name that stands twice: %+v", got)
	}
}
